//! Files of the folder `web/`, embedded into the binary, and their answers: each with an entity tag from its
//! contents, to be asked for again every time, so that a page and its modules are of one version.

use std::collections::BTreeMap;
use std::io::Write;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use ring::digest;

include!(concat!(env!("OUT_DIR"), "/web_files.rs"));

/// The embedded folder, its files by their paths.
#[derive(Debug)]
pub(super) struct Folder(BTreeMap<&'static str, File>);

/// Something to serve, with its tag.
#[derive(Debug, Clone)]
pub(super) struct File {
    content_type: &'static str,
    plain: Form,
    /// The same by gzip (RFC 1952), where that is smaller.
    gzip: Option<Form>,
}

/// The bytes of a file in one coding. Each has a tag of its own, as strong tags must (RFC 9110, section 8.8.3.3).
#[derive(Debug, Clone)]
struct Form {
    bytes: Bytes,
    tag: HeaderValue,
}

impl Folder {
    /// Computes tags and compresses, once.
    pub(super) fn new() -> Self {
        let files = FILES.iter().map(|&(path, bytes)| {
            let content_type = match path.rsplit_once('.') {
                Some((_, "html")) => "text/html; charset=utf-8",
                Some((_, "css")) => "text/css; charset=utf-8",
                Some(_) | None => "text/javascript; charset=utf-8",
            };
            let plain = Form::new(Bytes::from_static(bytes));
            (path, File { content_type, plain, gzip: gzip(bytes).map(Form::new) })
        });
        Self(files.collect())
    }

    /// A file, by its path in the folder.
    pub(super) fn file(&self, path: &str) -> Option<File> {
        self.0.get(path).cloned()
    }
}

impl Form {
    fn new(bytes: Bytes) -> Self {
        let hash = digest::digest(&digest::SHA256, &bytes);
        // Half of the hash tells all versions apart.
        let digits: String =
            hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let tag =
            HeaderValue::try_from(format!("\"{digits}\"")).expect("quoted digits are a value");
        Self { bytes, tag }
    }
}

impl File {
    /// A text in JSON.
    pub(super) fn json(text: String) -> Self {
        let plain = Form::new(Bytes::from(text));
        Self { content_type: "application/json", plain, gzip: None }
    }

    /// The answer to a request with these headers: the file, or that the caller has it already.
    pub(super) fn answer(self, request: &HeaderMap) -> Response {
        let (form, coding) = match self.gzip.filter(|_| takes_gzip(request)) {
            Some(gzip) => (gzip, Some(HeaderValue::from_static("gzip"))),
            None => (self.plain, None),
        };
        let mut response = if is_known(request, &form.tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = form.bytes.into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
            if let Some(coding) = coding {
                headers.insert(header::CONTENT_ENCODING, coding);
            }
            response
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(header::ETAG, form.tag);
        response
    }
}

fn gzip(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing into memory does not fail.
    let gzip = encoder.write_all(bytes).and_then(|()| encoder.finish()).ok()?;
    (gzip.len() < bytes.len()).then(|| Bytes::from(gzip))
}

/// Whether `Accept-Encoding` has gzip, and not with a weight of 0 (RFC 9110, section 12.5.3).
fn takes_gzip(request: &HeaderMap) -> bool {
    let lists = request.get_all(header::ACCEPT_ENCODING).iter();
    let codings = lists.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(','));
    codings.map(|coding| coding.split(';')).any(|mut coding| {
        let is_gzip = coding.next().is_some_and(|name| name.trim().eq_ignore_ascii_case("gzip"));
        let is_wanted = |weight: &str| {
            let weight = weight.trim().strip_prefix("q=").map(str::parse::<f32>);
            !matches!(weight, Some(Ok(weight)) if weight <= 0.0)
        };
        is_gzip && coding.all(is_wanted)
    })
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

    /// Bytes of all files together, as they travel: what the page may weigh.
    const MAX_TOTAL_BYTES: usize = 100_000;

    #[test]
    fn all_that_is_served_is_small_and_nothing_else_is_in_it() {
        let total: usize =
            FILES.iter().filter_map(|(_, bytes)| gzip(bytes)).map(|gzip| gzip.len()).sum();
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
    fn who_takes_gzip_is_given_it() {
        let asked = |list: &'static str| {
            HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(list))])
        };
        for takes in ["gzip", "br, gzip", "GZIP;q=0.5", "deflate, gzip;q=1.0"] {
            assert!(takes_gzip(&asked(takes)), "{takes}");
        }
        for not in ["", "br", "gzip;q=0", "gzip; q=0.0", "x-gzip"] {
            assert!(!takes_gzip(&asked(not)), "{not}");
        }
        let file = Folder::new().file("tribune.js").unwrap();
        let answer = file.clone().answer(&asked("gzip"));
        assert_eq!(answer.headers()[header::CONTENT_ENCODING], "gzip");
        let plain = file.answer(&HeaderMap::new());
        assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
        assert_eq!(plain.headers()[header::CONTENT_TYPE], answer.headers()[header::CONTENT_TYPE]);
    }

    #[test]
    fn each_coding_has_a_tag_of_its_own() {
        let file = Folder::new().file("tribune.js").unwrap();
        let answer = |coding: &'static str, known: Option<&HeaderValue>| {
            let mut request = HeaderMap::new();
            request.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(coding));
            request.extend(known.map(|tag| (header::IF_NONE_MATCH, tag.clone())));
            file.clone().answer(&request)
        };
        let tag = |coding| answer(coding, None).headers()[header::ETAG].clone();
        let (plain, gzip) = (tag("identity"), tag("gzip"));
        assert_ne!(plain, gzip);
        for (coding, own, other) in [("identity", &plain, &gzip), ("gzip", &gzip, &plain)] {
            let unchanged = answer(coding, Some(own));
            assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED, "{coding}");
            assert_eq!(unchanged.headers()[header::ETAG], own, "{coding}");
            assert_eq!(answer(coding, Some(other)).status(), StatusCode::OK, "{coding}");
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
