//! OCB2 with AES-128 as mumble uses it on UDP: a counter as implicit nonce, of which a packet carries the
//! last byte, and the first three bytes of the tag.
//!
//! mumble itself avoids plaintexts whose last block but one is zero except for its last byte
//! (<https://eprint.iacr.org/2019/311>). Stamped frames and pings are never of that form, so this module has
//! no countermeasure.

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Block};
use anyhow::{Context, Result};

/// Bytes of an AES block, a key and a nonce.
const BLOCK_BYTES: usize = 16;
/// Bytes before the ciphertext: one of the nonce, three of the tag.
const HEAD_BYTES: usize = 4;

/// Key and nonces that server and client agree on over TLS.
#[derive(Debug, Clone)]
pub(crate) struct Secrets {
    /// Key of both directions.
    pub(crate) key: [u8; BLOCK_BYTES],
    /// Nonce before the client's first packet.
    pub(crate) client_nonce: [u8; BLOCK_BYTES],
    /// Nonce before the server's first packet.
    pub(crate) server_nonce: [u8; BLOCK_BYTES],
}

impl Secrets {
    /// Key and nonces as a server sent them.
    ///
    /// # Errors
    /// One of them does not have 16 bytes.
    pub(crate) fn new(key: &[u8], client_nonce: &[u8], server_nonce: &[u8]) -> Result<Self> {
        let whole = |bytes: &[u8], name| {
            <[u8; BLOCK_BYTES]>::try_from(bytes)
                .with_context(|| format!("the server's {name} has {} bytes, not 16", bytes.len()))
        };
        Ok(Self {
            key: whole(key, "key")?,
            client_nonce: whole(client_nonce, "client nonce")?,
            server_nonce: whole(server_nonce, "server nonce")?,
        })
    }

    /// Sealer of the client's packets.
    pub(crate) fn sealer(&self) -> Sealer {
        Sealer { key: Ocb2::new(&self.key), counter: u128::from_le_bytes(self.client_nonce) }
    }

    /// Opener of the server's packets.
    pub(crate) fn opener(&self) -> Opener {
        Opener { key: Ocb2::new(&self.key), counter: u128::from_le_bytes(self.server_nonce) }
    }
}

/// Sealer of one direction's packets.
#[derive(Debug)]
pub(crate) struct Sealer {
    key: Ocb2,
    counter: u128,
}

impl Sealer {
    /// Nonce of the last packet.
    pub(crate) const fn nonce(&self) -> [u8; BLOCK_BYTES] {
        self.counter.to_le_bytes()
    }

    /// Seals a plaintext into a packet.
    pub(crate) fn seal(&mut self, plain: &[u8], packet: &mut Vec<u8>) {
        self.counter = self.counter.wrapping_add(1);
        packet.clear();
        packet.extend([0; HEAD_BYTES]);
        packet.extend(plain);
        let tag = self.key.seal(nonce(self.counter), &mut packet[HEAD_BYTES..]);
        packet[0] = self.counter as u8;
        packet[1..HEAD_BYTES].copy_from_slice(&tag[..HEAD_BYTES - 1]);
    }
}

/// Opener of one direction's packets.
#[derive(Debug)]
pub(crate) struct Opener {
    key: Ocb2,
    /// Largest nonce so far.
    counter: u128,
}

impl Opener {
    /// Opens a packet in place. `None` if it is not of this direction, or more than 127 packets after the last
    /// one that was opened.
    pub(crate) fn open<'a>(&mut self, packet: &'a mut [u8]) -> Option<&'a [u8]> {
        let (head, text) = packet.split_first_chunk_mut::<HEAD_BYTES>()?;
        let ahead = head[0].wrapping_sub(self.counter as u8) as i8;
        let counter = self.counter.wrapping_add_signed(i128::from(ahead));
        let tag = self.key.open(nonce(counter), text);
        if head[1..] != tag[..HEAD_BYTES - 1] {
            return None;
        }
        if ahead > 0 {
            self.counter = counter;
        }
        Some(text)
    }
}

/// Nonce of a counter, whose lowest byte comes first.
const fn nonce(counter: u128) -> u128 {
    counter.swap_bytes()
}

/// The mode itself. Blocks are big-endian numbers.
struct Ocb2(Aes128);

impl std::fmt::Debug for Ocb2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ocb2")
    }
}

impl Ocb2 {
    fn new(key: &[u8; BLOCK_BYTES]) -> Self {
        Self(Aes128::new(&(*key).into()))
    }

    /// Encrypts in place.
    fn seal(&self, nonce: u128, text: &mut [u8]) -> [u8; BLOCK_BYTES] {
        let mut delta = self.encrypt(nonce);
        let mut checksum = 0;
        let (whole, last) = split(text);
        for block in whole.chunks_exact_mut(BLOCK_BYTES) {
            delta = double(delta);
            let plain = number(block);
            checksum ^= plain;
            block.copy_from_slice(&(self.encrypt(plain ^ delta) ^ delta).to_be_bytes());
        }
        delta = double(delta);
        let pad = self.encrypt(bits(last) ^ delta);
        checksum ^= number(last) ^ after(pad, last.len());
        xor(last, pad);
        self.encrypt(double(delta) ^ delta ^ checksum).to_be_bytes()
    }

    /// Decrypts in place, without checking the tag.
    fn open(&self, nonce: u128, text: &mut [u8]) -> [u8; BLOCK_BYTES] {
        let mut delta = self.encrypt(nonce);
        let mut checksum = 0;
        let (whole, last) = split(text);
        for block in whole.chunks_exact_mut(BLOCK_BYTES) {
            delta = double(delta);
            let plain = self.decrypt(number(block) ^ delta) ^ delta;
            checksum ^= plain;
            block.copy_from_slice(&plain.to_be_bytes());
        }
        delta = double(delta);
        let pad = self.encrypt(bits(last) ^ delta);
        xor(last, pad);
        checksum ^= number(last) ^ after(pad, last.len());
        self.encrypt(double(delta) ^ delta ^ checksum).to_be_bytes()
    }

    fn encrypt(&self, block: u128) -> u128 {
        let mut block = Block::from(block.to_be_bytes());
        self.0.encrypt_block(&mut block);
        u128::from_be_bytes(block.into())
    }

    fn decrypt(&self, block: u128) -> u128 {
        let mut block = Block::from(block.to_be_bytes());
        self.0.decrypt_block(&mut block);
        u128::from_be_bytes(block.into())
    }
}

/// All blocks but the last, and the last one, which may be short and is empty only if all is.
fn split(text: &mut [u8]) -> (&mut [u8], &mut [u8]) {
    let whole = text.len().saturating_sub(1) / BLOCK_BYTES * BLOCK_BYTES;
    text.split_at_mut(whole)
}

/// Doubling in GF(2^128).
const fn double(number: u128) -> u128 {
    (number << 1) ^ ((number >> 127) * 0x87)
}

/// Number of a block, a short one padded with zeros.
fn number(block: &[u8]) -> u128 {
    let mut bytes = [0; BLOCK_BYTES];
    bytes[..block.len()].copy_from_slice(block);
    u128::from_be_bytes(bytes)
}

/// Length of a block, in bits.
const fn bits(block: &[u8]) -> u128 {
    block.len() as u128 * 8
}

/// A pad without its first bytes.
fn after(pad: u128, bytes: usize) -> u128 {
    u128::MAX.checked_shr(bytes as u32 * 8).unwrap_or(0) & pad
}

fn xor(block: &mut [u8], pad: u128) {
    block.iter_mut().zip(pad.to_be_bytes()).for_each(|(byte, pad)| *byte ^= pad);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting<const N: usize>() -> [u8; N] {
        std::array::from_fn(|place| place as u8)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    /// Vectors of draft-krovetz-ocb-00, with key and nonce 00 01 … 0F.
    #[test]
    fn the_published_vectors_come_out() {
        let ocb = Ocb2::new(&counting());
        let nonce = u128::from_be_bytes(counting());
        assert_eq!(hex(&ocb.seal(nonce, &mut [])), "BF3108130773AD5EC70EC69E7875A7B0");
        let mut eight = counting::<8>();
        assert_eq!(hex(&ocb.seal(nonce, &mut eight)), "A45F5FDEA5C088D1D7C8BE37CABC8C5C");
        assert_eq!(hex(&eight), "C636B3A868F429BB");
        let mut forty = counting::<40>();
        let tag = ocb.seal(nonce, &mut forty);
        assert_eq!(hex(&tag), "9DB0CDF880F73E3E10D4EB3217766688");
        assert_eq!(
            hex(&forty),
            "F75D6BC8B4DC8D66B836A2B08B32A6369F1CD3C5228D79FD6C267F5F6AA7B231C7DFB9D59951AE9C"
        );
        assert_eq!(ocb.open(nonce, &mut forty), tag);
        assert_eq!(forty, counting::<40>());
    }

    #[test]
    fn packets_of_every_length_open_again() {
        let (mut sealer, mut opener) = pair([0xff; 16]);
        let mut packet = Vec::new();
        for bytes in 0..100 {
            let plain: Vec<u8> = (0..bytes).collect();
            sealer.seal(&plain, &mut packet);
            assert_eq!(opener.open(&mut packet), Some(&plain[..]), "{bytes} bytes");
        }
    }

    #[test]
    fn lost_and_late_packets_do_no_harm() {
        let (mut sealer, mut opener) = pair([0xf0; 16]);
        let mut packets = vec![Vec::new(); 300];
        for (place, packet) in packets.iter_mut().enumerate() {
            sealer.seal(&[place as u8; 20], packet);
        }
        for place in [0, 127, 126, 254, 200, 299] {
            let plain = [place as u8; 20];
            assert_eq!(opener.open(&mut packets[place]), Some(&plain[..]), "packet {place}");
        }
    }

    #[test]
    fn a_changed_packet_is_refused() {
        let (mut sealer, mut opener) = pair([1; 16]);
        let mut packet = Vec::new();
        for place in 0..40 {
            sealer.seal(&[7; 36], &mut packet);
            packet[place] ^= 1;
            assert_eq!(opener.open(&mut packet), None, "byte {place}");
        }
        assert_eq!(opener.open(&mut [1, 2, 3]), None);
        assert!(Secrets::new(&[0; 16], &[0; 15], &[0; 16]).is_err());
    }

    fn pair(nonce: [u8; 16]) -> (Sealer, Opener) {
        let secrets = Secrets::new(&[3; 16], &nonce, &nonce).unwrap();
        (secrets.sealer(), secrets.opener())
    }
}
