//! Packets of strangers are counted and dropped: no participant notices.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use tribune_tests::process::{Client, RelayOptions, with_scratch};

const ROOM: &str = "stage";
/// Duration of the flood, and its packets per second: more than a hundred listeners
/// would send.
const FLOOD: Duration = Duration::from_secs(5);
const PACKETS_PER_SECOND: u32 = 2_000;
/// Time limit of a command on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
/// Largest memory of a relay for unfinished handshakes: 32 MB.
const MEMORY_MORE_BYTES: f64 = 32.0 * 1024.0 * 1024.0;

/// A packet that may be anything, by its number.
fn packet(number: u32, rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(1..1_400)];
    rng.fill_bytes(&mut bytes);
    match number % 4 {
        // Any bytes at all.
        0 => {}
        // The head of an Initial of QUIC version 1 with connection IDs of 8 bytes, then garbage.
        1 => initial_head(&mut bytes, 1_200),
        // The same, cut off: too short for an Initial.
        2 => initial_head(&mut bytes, 600),
        // A short header: a packet of a connection that there is not.
        _ => bytes[0] = (bytes[0] & 0x3f) | 0x40,
    }
    bytes
}

fn initial_head(bytes: &mut Vec<u8>, length: usize) {
    bytes.resize(length, 0x5a);
    let random: [u8; 16] = std::array::from_fn(|at| bytes[at]);
    // Long header, Initial, a packet number of four bytes.
    bytes[..5].copy_from_slice(&[0xc3, 0, 0, 0, 1]);
    bytes[5] = 8;
    bytes[6..14].copy_from_slice(&random[..8]);
    bytes[14] = 8;
    bytes[15..23].copy_from_slice(&random[8..]);
    // No token, then a length of two bytes that covers the rest.
    bytes[23] = 0;
    let rest = (1_200 - 26) as u16;
    bytes[24..26].copy_from_slice(&(0x4000 | rest).to_be_bytes());
}

#[test]
fn a_flood_of_garbage_costs_no_listener_a_frame_and_no_memory() {
    with_scratch(|scratch| {
        let relay = RelayOptions::new("relay").start(scratch)?;
        let _speaker = Client::new(&["speak", ROOM, "--name", "Tone", "--tone", "440"], &relay)
            .enter(scratch, "speaker")?;
        let mut listener = Client::listen(ROOM, "null".as_ref(), &relay)
            .args(&["--duration", "10s"])
            .enter(scratch, "listener")?;
        listener.wait_statistics("speech", LIMIT, |statistics| statistics.received >= 50)?;
        let before = relay.metrics()?;

        let mut rng = StdRng::seed_from_u64(7);
        // Several senders, so that no single address takes the blame.
        let senders: Vec<UdpSocket> =
            (0..8).map(|_| UdpSocket::bind(("127.0.0.1", 0))).collect::<Result<_, _>>()?;
        let began = Instant::now();
        let mut sent = 0u32;
        while began.elapsed() < FLOOD {
            let due = (began.elapsed().as_secs_f64() * f64::from(PACKETS_PER_SECOND)) as u32;
            while sent < due {
                let sender = &senders[sent as usize % senders.len()];
                sender.send_to(&packet(sent, &mut rng), relay.address())?;
                sent += 1;
            }
            std::thread::sleep(Duration::from_millis(5));
        }

        let ended = listener.wait(LIMIT)?;
        let summary = ended.summary()?;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!((summary.lost, summary.dropped), (0, 0), "{summary:?}");
        assert!(summary.received > 450, "{summary:?}");

        let counted = relay.wait_metrics("the flood", LIMIT, |metrics| {
            let packets = "tribune_relay_packets_received_total";
            metrics.sum(packets, &[]) - before.sum(packets, &[]) > f64::from(sent) * 0.9
        })?;
        let more = counted.resident_bytes() - before.resident_bytes();
        println!("{sent} packets; {:.1} MB more memory", more / 1024.0 / 1024.0);
        assert!(more < MEMORY_MORE_BYTES, "{more} bytes more for {sent} packets");
        // What was no handshake is no connection.
        assert!(counted.sum("tribune_relay_connections", &[]) <= 2.0);
        assert_eq!(relay.get("/readyz")?.status, 200);
        // And the relay still lets people in.
        Client::listen(ROOM, "null".as_ref(), &relay)
            .args(&["--duration", "1s"])
            .run_well(scratch, "late", LIMIT)?;
        Ok(())
    });
}
