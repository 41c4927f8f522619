//! A loudspeaker that is recorded: a null sink of a PulseAudio of its own.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::tools::needed;
use crate::process::{Process, Scratch, wait_for};

/// Time limit until the loudspeaker can be used, and until its recording has got somewhere.
const LIMIT: Duration = Duration::from_secs(20);
/// Largest recording, in blocks of 512 bytes: 17 minutes. The limit holds for the 64 MiB of shared memory too, by
/// which PulseAudio hands sound on.
const RECORDING_BLOCKS: u32 = 200_000;
/// Of one sample.
const SAMPLE_BYTES: usize = 2;

/// A loudspeaker. All that it plays is recorded from its start on, silence too.
#[derive(Debug)]
pub struct Loudspeaker {
    socket: PathBuf,
    recording: PathBuf,
    rate_hz: u32,
    // Ends before what it records.
    _recorder: Process,
    _pulse: Process,
}

impl Loudspeaker {
    /// Starts one with this sampling rate.
    ///
    /// # Errors
    /// If PulseAudio does not start.
    pub fn start(scratch: &Scratch, name: &str, rate_hz: u32) -> Result<Self> {
        let home = scratch.file(&format!("{name}.pulse"));
        std::fs::create_dir_all(&home)?;
        let socket = home.join("socket");
        let mut command = Command::new(needed("pulseaudio")?);
        command.args(["-n", "--daemonize=no", "--exit-idle-time=-1", "--disallow-exit=yes"]);
        // Real-time scheduling is not to be had in a container, and would be taken from the relays.
        command.args(["--use-pid-file=no", "--realtime=no", "--high-priority=no"]);
        let protocol = "module-native-protocol-unix auth-anonymous=1 auth-cookie-enabled=0 socket";
        command.args(["-L", &format!("{protocol}={}", socket.display())]);
        let sink = "module-null-sink sink_name=speaker channels=2 rate";
        command.args(["-L", &format!("{sink}={rate_hz}")]);
        command.env("XDG_RUNTIME_DIR", &home).env("PULSE_RUNTIME_PATH", &home);
        command.env("PULSE_STATE_PATH", &home);
        let mut pulse = Process::spawn(scratch, &format!("{name}-pulse"), command)?;
        wait_for("the socket of PulseAudio", LIMIT, || {
            anyhow::ensure!(pulse.is_running()?, "PulseAudio ended: {}", pulse.stderr());
            Ok(socket.exists().then_some(()))
        })?;

        let recording = scratch.file(&format!("{name}.pcm"));
        let mut command = Command::new("/bin/sh");
        // The process that the shell becomes keeps the id and the limit.
        command.args(["-c", &format!("ulimit -f {RECORDING_BLOCKS} && exec \"$@\""), "sh"]);
        command.arg(needed("parec")?).arg("--device=speaker.monitor");
        command.args(["--raw", "--format=s16le", "--channels=1", "--latency-msec=50"]);
        command.arg(format!("--rate={rate_hz}")).arg(&recording);
        command.env("PULSE_SERVER", format!("unix:{}", socket.display()));
        let mut recorder = Process::spawn(scratch, &format!("{name}-parec"), command)?;
        wait_for("the recording to begin", LIMIT, || {
            anyhow::ensure!(recorder.is_running()?, "parec ended: {}", recorder.stderr());
            Ok(std::fs::metadata(&recording).is_ok_and(|file| file.len() > 0).then_some(()))
        })?;
        Ok(Self { socket, recording, rate_hz, _recorder: recorder, _pulse: pulse })
    }

    /// Variables that have a program play here.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![("PULSE_SERVER", format!("unix:{}", self.socket.display()))]
    }

    /// Samples a second.
    #[must_use]
    pub const fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Sound that it has played until now: one channel, its own rate.
    ///
    /// # Errors
    /// If there is no recording.
    pub fn heard(&self) -> Result<Vec<f32>> {
        let bytes = std::fs::read(&self.recording).context("a recording that cannot be read")?;
        let samples = bytes.chunks_exact(SAMPLE_BYTES);
        let samples = samples.map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        Ok(samples.map(|sample| f32::from(sample) / 32_768.0).collect())
    }

    /// Samples that it has played until now: a mark for [`Self::heard_since`].
    ///
    /// # Errors
    /// If there is no recording.
    pub fn mark(&self) -> Result<usize> {
        let length = std::fs::metadata(&self.recording)?.len();
        Ok(usize::try_from(length)? / SAMPLE_BYTES)
    }

    /// Sound that it has played since a mark.
    ///
    /// # Errors
    /// If there is no recording.
    pub fn heard_since(&self, mark: usize) -> Result<Vec<f32>> {
        Ok(self.heard()?.split_off(mark))
    }

    /// Waits until this much more is recorded.
    ///
    /// # Errors
    /// If the loudspeaker stands still.
    pub fn wait_recorded(&self, length: Duration) -> Result<()> {
        let more = (length.as_secs_f64() * f64::from(self.rate_hz)) as usize;
        let until = self.mark()? + more;
        wait_for("the loudspeaker to play on", length * 2 + LIMIT, || {
            Ok((self.mark()? >= until).then_some(()))
        })
    }
}
