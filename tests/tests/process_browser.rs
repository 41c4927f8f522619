//! The means by which the page is tested: sound that a page makes is recorded, nothing is heard before a gesture,
//! a microphone plays a file, a hidden tab is hidden.

use std::f32::consts::TAU;
use std::time::Duration;

use anyhow::{Result, ensure};
use tribune_tests::browser::{
    BrowserOptions, Kind, Loudspeaker, Network, longest_silence_ms, loud_part, pitch_hz, silences,
    with_browsers,
};
use tribune_tests::process::sound::{rms, write_wav};
use tribune_tests::process::wait_for;

/// Time limit of what a page does, on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);
/// A page that begins to sound when it is made, if it may, and resumes when its button is clicked.
const OSCILLATOR: &str =
    "<!doctype html><title>Tone</title><button data-testid=listen>Listen</button><script>
    const context = new AudioContext({ sampleRate: 48000 });
    const tone = context.createOscillator();
    tone.connect(context.destination);
    tone.start();
    context.resume();
    document.querySelector('button').onclick = () => context.resume();
</script>";
/// A page that measures its microphone.
const METER: &str =
    "<!doctype html><title>Meter</title><button data-testid=speak>Speak</button><script>
    let level = -1;
    document.querySelector('button').onclick = async () => {
        const context = new AudioContext();
        const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
        const stream = await navigator.mediaDevices.getUserMedia({ audio: raw });
        const analyser = context.createAnalyser();
        context.createMediaStreamSource(stream).connect(analyser);
        const samples = new Float32Array(analyser.fftSize);
        setInterval(() => {
            analyser.getFloatTimeDomainData(samples);
            level = Math.max(...samples);
        }, 50);
    };
</script>";

fn a_tone_is_recorded_after_a_click_and_not_before(kind: Kind, rate_hz: u32) {
    with_browsers(&[kind], |scratch| {
        let loudspeaker = Loudspeaker::start(scratch, "speaker", rate_hz)?;
        let options = BrowserOptions::new(kind).loudspeaker(&loudspeaker);
        let mut browser = options.start(scratch, kind.name())?;
        let url = browser.serve(OSCILLATOR)?;
        assert_eq!(browser.open(&url)?, 200);
        // Long enough for sound that is let through without a gesture.
        loudspeaker.wait_recorded(Duration::from_secs(1))?;
        assert_eq!(browser.ask::<String>("context.state")?, "suspended");
        assert_eq!(loud_part(&loudspeaker.heard()?), 0..0, "sound without a gesture");

        browser.click("listen")?;
        browser.wait("two seconds of sound", LIMIT, "context.currentTime > 2")?;
        browser.hide()?;
        loudspeaker.wait_recorded(Duration::from_secs(2))?;
        browser.show()?;
        let heard = loudspeaker.heard()?;
        let loud = loud_part(&heard);
        println!("{} samples, of them loud: {loud:?}", heard.len());
        let seconds = loud.len() as u32 / rate_hz;
        assert!(seconds >= 3, "{seconds} s of sound");
        // What a busy machine makes of a page that has no buffer.
        let silence = longest_silence_ms(&heard, rate_hz);
        println!("{:?}", silences(&heard, rate_hz));
        assert!(silence <= 200, "{silence} ms of silence in a tone");
        let pitch = pitch_hz(&heard[loud], rate_hz);
        assert!((pitch - 440.0).abs() < 0.5, "{pitch} Hz");
        let origins = browser.origins()?;
        ensure!(origins.iter().all(|(_, first)| first.starts_with(&url)), "{origins:?}");
        assert_eq!(browser.errors()?, Vec::<String>::new());
        Ok(())
    });
}

#[test]
fn a_tone_of_chromium_is_recorded_after_a_click_and_not_before() {
    a_tone_is_recorded_after_a_click_and_not_before(Kind::Chromium, 48_000);
}

#[test]
fn a_tone_of_firefox_is_recorded_after_a_click_and_not_before() {
    a_tone_is_recorded_after_a_click_and_not_before(Kind::Firefox, 44_100);
}

#[test]
fn a_microphone_plays_a_file_or_is_denied() {
    with_browsers(&[Kind::Chromium, Kind::Firefox], |scratch| {
        let tone: Vec<f32> =
            (0..96_000).map(|n| 0.5 * (n as f32 * 300.0 / 48_000.0 * TAU).sin()).collect();
        ensure!(rms(&tone) > 0.3, "a quiet tone");
        let file = scratch.file("tone.wav");
        write_wav(&file, &tone)?;
        let options = BrowserOptions::new(Kind::Chromium).microphone(&file).repeating();
        let mut browser = options.start(scratch, "chromium")?;
        let url = browser.serve(METER)?;
        browser.open(&url)?;
        browser.click("speak")?;
        browser.wait("the level of the file", LIMIT, "level > 0.4 && level < 0.6")?;
        drop(browser);

        for kind in [Kind::Chromium, Kind::Firefox] {
            let name = format!("{}-denied", kind.name());
            let mut browser =
                BrowserOptions::new(kind).microphone_denied().start(scratch, &name)?;
            let url = browser.serve(METER)?;
            browser.open(&url)?;
            let asked =
                "navigator.mediaDevices.getUserMedia({ audio: true }).catch(error => error.name)";
            assert_eq!(browser.ask::<String>(asked)?, "NotAllowedError", "{name}");
        }
        Ok(())
    });
}

#[test]
fn an_error_shows_the_console_and_the_page() {
    with_browsers(&[Kind::Chromium, Kind::Firefox], |scratch| {
        for kind in [Kind::Chromium, Kind::Firefox] {
            let mut browser = BrowserOptions::new(kind).start(scratch, kind.name())?;
            let url =
                browser.serve("<!doctype html><p>Hello<script>console.error('oh no')</script>")?;
            browser.open(&url)?;
            let limit = Duration::from_millis(300);
            let error = browser.wait_shown("Goodbye", limit).unwrap_err().to_string();
            assert!(error.contains("\"Goodbye\"") && error.contains("in vain"), "{error}");
            assert!(error.contains("oh no") && error.contains("Hello"), "{error}");
            assert_eq!(browser.errors()?, ["oh no"]);
        }
        Ok(())
    });
}

#[test]
fn a_network_loses_what_it_is_told_to() -> Result<()> {
    let relay = std::net::UdpSocket::bind("127.0.0.1:0")?;
    relay.set_read_timeout(Some(LIMIT))?;
    let network = Network::to(relay.local_addr()?)?;
    let browser = std::net::UdpSocket::bind("127.0.0.1:0")?;
    browser.set_read_timeout(Some(LIMIT))?;
    browser.send_to(b"hello", network.address())?;
    let mut packet = [0; 100];
    let (length, peer) = relay.recv_from(&mut packet)?;
    assert_eq!(&packet[..length], b"hello");
    network.lose_per_mille(300);
    for n in 0..100u8 {
        relay.send_to(&[n], peer)?;
    }
    browser.set_nonblocking(true)?;
    let mut came = 0;
    wait_for("all packets to come or be lost", LIMIT, || {
        while browser.recv(&mut packet).is_ok() {
            came += 1;
        }
        Ok((came + network.lost() == 100).then_some(()))
    })?;
    assert!((10..50).contains(&network.lost()), "{} of 100 packets lost", network.lost());
    let lost = network.lost();
    network.cut(true);
    browser.send_to(b"hello?", network.address())?;
    wait_for("a packet to be lost", LIMIT, || Ok((network.lost() > lost).then_some(())))
}
