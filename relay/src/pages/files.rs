//! Files of the web client, part of the program: the folder `web/` without its tests.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use ring::digest;

/// Path of each file under `web/`, and its content.
macro_rules! files {
    ($($path:literal,)*) => {
        [$(($path, include_bytes!(concat!("../../../web/", $path)).as_slice())),*]
    };
}

#[rustfmt::skip]
const FILES: &[(&str, &[u8])] = &files![
    "audio/blocks.js",
    "audio/delay.js",
    "audio/ear.js",
    "audio/jitter.js",
    "audio/mouth.js",
    "audio/stretch.js",
    "embed.html",
    "engine/cbor.js",
    "engine/clock.js",
    "engine/control.js",
    "engine/decode.js",
    "engine/encode.js",
    "engine/hearing.js",
    "engine/link.js",
    "engine/receive.js",
    "engine/reconnect.js",
    "engine/repair.js",
    "engine/session.js",
    "engine/speaking.js",
    "engine/transport.js",
    "engine/voice.js",
    "engine/wire.js",
    "engine/worker.js",
    "example.html",
    "example.js",
    "index.html",
    "page/dialogs.js",
    "page/dom.js",
    "page/door.js",
    "page/embed.js",
    "page/hall.js",
    "page/main.js",
    "page/model.js",
    "page/parts.js",
    "page/stay.js",
    "page/store.js",
    "page/words.js",
    "strings/en.js",
    "strings/fr.js",
    "style.css",
    "tribune.js",
];

static BY_PATH: LazyLock<BTreeMap<&str, File>> =
    LazyLock::new(|| FILES.iter().map(|(path, bytes)| (*path, File::new(path, bytes))).collect());

/// A file, ready to be sent.
#[derive(Debug)]
pub(super) struct File {
    plain: Bytes,
    gzip: Bytes,
    kind: HeaderValue,
    tag: HeaderValue,
}

/// The file of a path under `web/`.
pub(super) fn file(path: &str) -> Option<&'static File> {
    BY_PATH.get(path)
}

impl File {
    fn new(path: &str, bytes: &'static [u8]) -> Self {
        let kind = match path.rsplit_once('.') {
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "html")) => "text/html; charset=utf-8",
            Some(_) | None => "application/octet-stream",
        };
        let hash = digest::digest(&digest::SHA256, bytes);
        let tag: String = hash.as_ref().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        let tag = HeaderValue::from_str(&format!("\"{tag}\""));
        Self {
            plain: Bytes::from_static(bytes),
            gzip: gzip(bytes),
            kind: HeaderValue::from_static(kind),
            tag: tag.unwrap_or(HeaderValue::from_static("\"\"")),
        }
    }

    /// The answer to a request with these headers.
    pub(super) fn answer(&self, asked: &HeaderMap) -> Response {
        let has = |name, wanted: &str| {
            let values = asked.get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.flat_map(|value| value.split(',')).any(|value| value.trim() == wanted)
        };
        let known = self.tag.to_str().unwrap_or_default();
        let mut response = if has(header::IF_NONE_MATCH, known) {
            StatusCode::NOT_MODIFIED.into_response()
        } else if has(header::ACCEPT_ENCODING, "gzip") {
            let encoding = [(header::CONTENT_ENCODING, "gzip")];
            (encoding, self.gzip.clone()).into_response()
        } else {
            self.plain.clone().into_response()
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, self.kind.clone());
        headers.insert(header::ETAG, self.tag.clone());
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        response
    }
}

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing into memory does not fail.
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    Bytes::from(written.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Weight of the page, as it travels: what a phone on a slow network loads once.
    const MAX_BYTES: usize = 100 * 1024;

    #[test]
    fn the_whole_folder_is_served_and_weighs_little() {
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web");
        let mut there = BTreeSet::new();
        collect(&web, &web, &mut there);
        let served: BTreeSet<String> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(served, there);
        let bytes: usize = BY_PATH.values().map(|file| file.gzip.len()).sum();
        assert!(bytes < MAX_BYTES, "{bytes} bytes");
    }

    fn collect(root: &Path, folder: &Path, into: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if !["test", "browser", "node_modules"].contains(&name) {
                    collect(root, &path, into);
                }
            } else if [".js", ".css", ".html"].iter().any(|end| name.ends_with(end)) {
                into.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
}
