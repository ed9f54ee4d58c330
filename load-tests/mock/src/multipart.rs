//! Reads `multipart/form-data` (RFC 7578) from a body that is whole.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// One field of a form.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) file: Option<String>,
    pub(crate) data: Bytes,
}

impl Part {
    /// The field as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }
}

/// The fields in order; the error says what is wrong.
pub(crate) fn read(headers: &HeaderMap, body: &Bytes) -> Result<Vec<Part>, String> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !kind.starts_with("multipart/form-data") {
        return Err(format!(
            "Unsupported content type: '{kind}'. This API method only accepts 'multipart/form-data' requests."
        ));
    }
    let boundary = kind.split(';').find_map(|part| part.trim().strip_prefix("boundary="));
    let boundary = boundary.ok_or("the content-type has no boundary")?.trim_matches('"');
    let delimiter = format!("--{boundary}").into_bytes();
    let mut parts = Vec::new();
    let mut at = find(body, 0, &delimiter).ok_or("the boundary does not occur in the body")? + delimiter.len();
    loop {
        match body.get(at..at + 2) {
            Some(b"--") => return Ok(parts),
            Some(b"\r\n") => {}
            _ => return Err("a boundary is not followed by a line break".to_owned()),
        }
        let head_end = find(body, at, b"\r\n\r\n").ok_or("a part has no head")?;
        let head = String::from_utf8_lossy(&body[at..head_end]).into_owned();
        let end_mark = [b"\r\n", delimiter.as_slice()].concat();
        let from = head_end + 4;
        let to = find(body, from, &end_mark).ok_or("the last part does not end")?;
        let value = |name: &str| {
            let marked = format!(" {name}=\"");
            head.split_once(&marked).and_then(|(_, rest)| rest.split_once('"')).map(|(value, _)| value.to_owned())
        };
        let name = value("name").ok_or("a part has no name")?;
        parts.push(Part { name, file: value("filename"), data: body.slice(from..to) });
        at = to + end_mark.len();
    }
}

fn find(haystack: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    let found = haystack.get(from..)?.windows(needle.len()).position(|window| window == needle);
    found.map(|at| at + from)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn forms_are_read_or_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("multipart/form-data; boundary=xyz"));
        let body = Bytes::from_static(
            b"--xyz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--xyz\r\n\
              Content-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg\r\n\r\n\x00\r\n--x\xff\r\n--xyz--\r\n",
        );
        let parts = read(&headers, &body).unwrap();
        assert_eq!((parts[0].name.as_str(), parts[0].text().as_str()), ("model", "whisper-1"));
        assert_eq!((parts[1].file.as_deref(), &parts[1].data[..]), (Some("a.mp3"), &b"\x00\r\n--x\xff"[..]));
        assert!(read(&headers, &body.slice(..body.len() - 10)).is_err());
        assert!(read(&HeaderMap::new(), &body).unwrap_err().contains("multipart/form-data"));
    }
}
