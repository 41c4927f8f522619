//! Files of the folder `web/`, embedded into the binary, and their answers: each with an entity tag from its
//! contents, to be asked for again every time, so that a page and its modules are of one version.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use ring::digest;

include!(concat!(env!("OUT_DIR"), "/web_files.rs"));

/// The embedded folder, its files by their paths.
#[derive(Debug)]
pub(super) struct Folder(BTreeMap<&'static str, File>);

/// Something to serve, with its tag.
#[derive(Debug, Clone)]
pub(super) struct File {
    bytes: Bytes,
    content_type: &'static str,
    tag: HeaderValue,
}

impl Folder {
    /// Computes the tags, once.
    pub(super) fn new() -> Self {
        let files = FILES.iter().map(|&(path, bytes)| {
            let content_type = match path.rsplit_once('.') {
                Some((_, "html")) => "text/html; charset=utf-8",
                Some((_, "css")) => "text/css; charset=utf-8",
                Some(_) | None => "text/javascript; charset=utf-8",
            };
            (path, File::new(Bytes::from_static(bytes), content_type))
        });
        Self(files.collect())
    }

    /// A file, by its path in the folder.
    pub(super) fn file(&self, path: &str) -> Option<File> {
        self.0.get(path).cloned()
    }
}

impl File {
    fn new(bytes: Bytes, content_type: &'static str) -> Self {
        let hash = digest::digest(&digest::SHA256, &bytes);
        // Half of the hash tells all versions apart.
        let digits: String =
            hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let tag =
            HeaderValue::try_from(format!("\"{digits}\"")).expect("quoted digits are a value");
        Self { bytes, content_type, tag }
    }

    /// A text in JSON.
    pub(super) fn json(text: String) -> Self {
        Self::new(Bytes::from(text), "application/json")
    }

    /// The answer to a request with these headers: the file, or that the caller has it already.
    pub(super) fn answer(self, request: &HeaderMap) -> Response {
        let mut response = if is_known(request, &self.tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let content_type = HeaderValue::from_static(self.content_type);
            ([(header::CONTENT_TYPE, content_type)], self.bytes).into_response()
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::ETAG, self.tag);
        response
    }
}

/// Whether `If-None-Match` names the tag (RFC 9110, section 13.1.2: by the weak comparison).
fn is_known(request: &HeaderMap, tag: &HeaderValue) -> bool {
    let lists = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == *tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of all files together: what the page may weigh.
    const MAX_TOTAL_BYTES: usize = 100_000;

    #[test]
    fn all_that_is_served_is_small_and_nothing_else_is_in_it() {
        let total: usize = FILES.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(total <= MAX_TOTAL_BYTES, "{total} bytes");
        for (path, _) in FILES {
            assert!([".html", ".css", ".js"].iter().any(|ending| path.ends_with(ending)), "{path}");
            for private in ["test/", "browser/", "node_modules/"] {
                assert!(!path.contains(private), "{path}");
            }
        }
        let folder = Folder::new();
        for page in ["index.html", "embed.html", "example.html", "style.css", "tribune.js"] {
            assert!(folder.file(page).is_some(), "{page}");
        }
        for none in ["", "index", "../Cargo.toml", "/index.html", "package.json", "engine"] {
            assert!(folder.file(none).is_none(), "{none}");
        }
    }

    #[test]
    fn tags_are_compared_as_lists_of_them() {
        let tag = HeaderValue::from_static("\"ab\"");
        let asked = |list: &'static str| {
            is_known(&HeaderMap::from_iter([(header::IF_NONE_MATCH, list.parse().unwrap())]), &tag)
        };
        for known in ["\"ab\"", "W/\"ab\"", "\"x\", \"ab\"", "*", "\"x\",W/\"ab\""] {
            assert!(asked(known), "{known}");
        }
        for other in ["", "ab", "\"abc\"", "\"x\"", "W/ab"] {
            assert!(!asked(other), "{other}");
        }
        assert!(!is_known(&HeaderMap::new(), &tag));
    }
}
