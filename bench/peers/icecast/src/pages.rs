//! Ogg (RFC 3533): pages of Opus frames for the source, and an incremental parser from a byte stream to
//! frames for the listeners. Pure.

use anyhow::{Context, Result, ensure};
use ogg::{PacketWriteEndInfo, PacketWriter};

/// Opus samples in a frame of 20 ms, always counted at 48 kHz (RFC 7845).
const SAMPLES_PER_FRAME: u64 = 960;
/// Serial number of the only logical stream.
const SERIAL: u32 = 0x5472_6962;
/// Bytes of a page header before its lacing values.
const HEADER_BYTES: usize = 27;
/// Offset of the count of lacing values in the header.
const SEGMENTS_AT: usize = 26;
/// Bytes of a full segment; a shorter one ends a packet.
const FULL_SEGMENT: u8 = 255;
/// Longest accepted response head, in bytes.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// Longest accepted packet across pages, in bytes: Opus and its tags are far shorter.
const MAX_PACKET_BYTES: usize = 128 * 1024;

/// Writer of an Ogg Opus stream, page by page.
#[derive(Debug)]
pub(crate) struct PageWriter {
    writer: PacketWriterDebug,
    frames: u64,
}

/// Parser of a listener's stream: the response head, then pages.
#[derive(Debug, Default)]
pub(crate) struct StreamParser {
    /// Bytes of an incomplete head or page.
    rest: Vec<u8>,
    /// Start of a packet that continues in the next page.
    packet: Vec<u8>,
    headed: bool,
}

/// The writer of crate `ogg` has no Debug.
struct PacketWriterDebug(PacketWriter<'static, Vec<u8>>);

impl std::fmt::Debug for PacketWriterDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PacketWriter")
    }
}

impl PageWriter {
    /// New stream with its first bytes: one page each with head and tags (RFC 7845).
    ///
    /// # Errors
    /// None: it writes to memory.
    pub(crate) fn open() -> Result<(Self, Vec<u8>)> {
        let mut head = b"OpusHead\x01\x01".to_vec(); // version 1, one channel
        head.extend(0_u16.to_le_bytes()); // nothing to skip
        head.extend(48_000_u32.to_le_bytes()); // sample rate of the input
        head.extend([0, 0, 0]); // gain 0, mapping family 0
        let mut tags = b"OpusTags".to_vec();
        let vendor = b"tribune-bench";
        tags.extend((vendor.len() as u32).to_le_bytes());
        tags.extend(vendor);
        tags.extend(0_u32.to_le_bytes()); // no comment
        let mut writer = PacketWriter::new(Vec::new());
        writer.write_packet(head, SERIAL, PacketWriteEndInfo::EndPage, 0)?;
        writer.write_packet(tags, SERIAL, PacketWriteEndInfo::EndPage, 0)?;
        let bytes = std::mem::take(writer.inner_mut());
        Ok((Self { writer: PacketWriterDebug(writer), frames: 0 }, bytes))
    }

    /// Next page, with these frames.
    ///
    /// # Errors
    /// There is no frame, or the frames do not fit into a page.
    pub(crate) fn page(&mut self, frames: &[Vec<u8>]) -> Result<Vec<u8>> {
        let (last, others) = frames.split_last().context("a page without a frame")?;
        let segments: usize = frames.iter().map(|frame| frame.len() / 255 + 1).sum();
        ensure!(segments <= 255, "{} frames do not fit a page", frames.len());
        let writer = &mut self.writer.0;
        for (end, frame) in others
            .iter()
            .map(|frame| (PacketWriteEndInfo::NormalPacket, frame))
            .chain([(PacketWriteEndInfo::EndPage, last)])
        {
            self.frames += 1;
            writer.write_packet(frame.clone(), SERIAL, end, self.frames * SAMPLES_PER_FRAME)?;
        }
        Ok(std::mem::take(writer.inner_mut()))
    }
}

impl StreamParser {
    /// Takes bytes as they were read, and hands on each packet that they complete.
    ///
    /// # Errors
    /// The response is a refusal, or its body is not Ogg.
    pub(crate) fn handle_bytes(
        &mut self,
        bytes: &[u8],
        mut packet: impl FnMut(&[u8]),
    ) -> Result<()> {
        self.rest.extend_from_slice(bytes);
        let mut read = if self.headed { 0 } else { self.read_head()? };
        while self.headed {
            let Some(page) = Page::find(&self.rest[read..])? else { break };
            page.for_each_packet(&mut self.packet, &mut packet)?;
            read += page.bytes;
        }
        self.rest.drain(..read);
        Ok(())
    }

    /// Whether the server has accepted the listener.
    pub(crate) const fn headed(&self) -> bool {
        self.headed
    }

    /// Returns the number of consumed bytes.
    fn read_head(&mut self) -> Result<usize> {
        let end = self.rest.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let Some(end) = end else {
            ensure!(
                self.rest.len() <= MAX_HEAD_BYTES,
                "a head of more than {MAX_HEAD_BYTES} bytes"
            );
            return Ok(0);
        };
        let head = String::from_utf8_lossy(&self.rest[..end]);
        let status = head.lines().next().unwrap_or_default();
        let good = status.starts_with("HTTP/1.") && status.split(' ').nth(1) == Some("200");
        ensure!(good, "the server answers: {status}");
        self.headed = true;
        Ok(end + 4)
    }
}

/// Complete page.
struct Page<'bytes> {
    lacing: &'bytes [u8],
    body: &'bytes [u8],
    bytes: usize,
}

impl<'bytes> Page<'bytes> {
    /// Page at the start of these bytes, if it is complete.
    fn find(bytes: &'bytes [u8]) -> Result<Option<Self>> {
        let begin = &bytes[..bytes.len().min(4)];
        ensure!(b"OggS".starts_with(begin), "what the server sends is no Ogg");
        let Some(segments) = bytes.get(SEGMENTS_AT) else { return Ok(None) };
        let body_at = HEADER_BYTES + usize::from(*segments);
        let Some(lacing) = bytes.get(HEADER_BYTES..body_at) else { return Ok(None) };
        let body_bytes: usize = lacing.iter().copied().map(usize::from).sum();
        let bytes = bytes.get(body_at..body_at + body_bytes);
        Ok(bytes.map(|body| Self { lacing, body, bytes: body_at + body_bytes }))
    }

    /// Hands on each packet that ends in this page; `pending` has the start of the first one from earlier pages.
    fn for_each_packet(&self, pending: &mut Vec<u8>, packet: &mut impl FnMut(&[u8])) -> Result<()> {
        let (mut from, mut to) = (0, 0);
        for segment in self.lacing {
            to += usize::from(*segment);
            if *segment == FULL_SEGMENT {
                continue;
            }
            if pending.is_empty() {
                packet(&self.body[from..to]);
            } else {
                pending.extend_from_slice(&self.body[from..to]);
                packet(pending);
                pending.clear();
            }
            from = to;
        }
        pending.extend_from_slice(&self.body[from..]);
        ensure!(
            pending.len() <= MAX_PACKET_BYTES,
            "a packet of more than {MAX_PACKET_BYTES} bytes"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const HEAD: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Type: application/ogg\r\n\r\n";

    fn frames(sizes: &[usize]) -> Vec<Vec<u8>> {
        (1_u8..).zip(sizes).map(|(byte, size)| vec![byte; *size]).collect()
    }

    fn parse(stream: &[u8], reads_of: usize) -> Vec<Vec<u8>> {
        let (mut parser, mut packets) = (StreamParser::default(), Vec::new());
        for read in stream.chunks(reads_of) {
            parser.handle_bytes(read, |packet| packets.push(packet.to_vec())).unwrap();
        }
        assert!(parser.headed() && parser.rest.is_empty());
        packets
    }

    #[test]
    fn frames_come_out_wherever_the_reads_have_cut() {
        let all = frames(&[120, 18, 255, 510, 640, 1, 120]);
        let (mut writer, mut stream) = PageWriter::open().unwrap();
        stream.splice(..0, HEAD.iter().copied());
        stream.extend(writer.page(&all[..5]).unwrap());
        stream.extend(writer.page(&all[5..6]).unwrap());
        stream.extend(writer.page(&all[6..]).unwrap());
        for reads_of in (1..300).chain([stream.len()]) {
            let packets = parse(&stream, reads_of);
            assert!(packets[0].starts_with(b"OpusHead") && packets[1].starts_with(b"OpusTags"));
            assert_eq!(packets[2..], all, "reads of {reads_of} bytes");
        }
    }

    #[test]
    fn a_packet_goes_on_in_the_next_page() {
        let long = vec![7_u8; 255 * 255 + 100];
        let mut writer = PacketWriter::new(HEAD.to_vec());
        writer.write_packet(&long[..], 1, PacketWriteEndInfo::NormalPacket, 0).unwrap();
        writer.write_packet(&b"next"[..], 1, PacketWriteEndInfo::EndPage, 0).unwrap();
        for reads_of in [1_000, usize::MAX] {
            let packets = parse(writer.inner(), reads_of);
            assert!(packets == [&long[..], b"next"], "reads of {reads_of} bytes");
        }
    }

    #[test]
    fn pages_are_as_a_strict_reader_wants_them() {
        let (mut writer, mut stream) = PageWriter::open().unwrap();
        let all = frames(&[120; 10]);
        let pages: Vec<_> = all.chunks(5).map(|five| writer.page(five).unwrap()).collect();
        assert!(pages.iter().all(|page| page.len() == HEADER_BYTES + 5 * 121), "{pages:?}");
        stream.extend(pages.concat());
        // The reader checks each page's checksum and sequence number.
        let mut reader = ogg::PacketReader::new(Cursor::new(stream));
        let head = reader.read_packet_expected().unwrap();
        assert!(head.first_in_stream() && head.data.len() == 19, "{}", head.data.len());
        assert!(reader.read_packet_expected().unwrap().data.starts_with(b"OpusTags"));
        for (number, frame) in (1..).zip(&all) {
            let packet = reader.read_packet_expected().unwrap();
            assert_eq!(packet.data, *frame);
            let page_end = SAMPLES_PER_FRAME * if number <= 5 { 5 } else { 10 };
            assert_eq!(packet.absgp_page(), page_end);
        }
        assert!(reader.read_packet().unwrap().is_none());
    }

    #[test]
    fn what_is_no_stream_is_told_apart() {
        let error = |bytes: &[u8]| {
            let error = StreamParser::default().handle_bytes(bytes, drop_packet).unwrap_err();
            error.to_string()
        };
        let refusal = b"HTTP/1.0 404 File Not Found\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(error(refusal), "the server answers: HTTP/1.0 404 File Not Found");
        assert_eq!(error(&[HEAD, b"Oggx"].concat()), "what the server sends is no Ogg");
        assert!(error(&[b'x'; MAX_HEAD_BYTES + 1]).contains("a head of more"));
    }

    fn drop_packet(_: &[u8]) {}
}
