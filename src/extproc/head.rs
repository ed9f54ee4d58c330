//! Headers between Envoy's messages and the ones of this program.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sluice_proto as pb;

use crate::door::Head;

/// Puts a name and a value into the form of Envoy's messages.
pub(super) fn pair(name: &str, value: impl Into<Bytes>) -> pb::HeaderValue {
    pb::HeaderValue { key: name.to_owned(), value: String::new(), raw_value: value.into() }
}

/// Envoy fills `raw_value`, or `value` where an operator told it to.
fn bytes_of(header: &pb::HeaderValue) -> Bytes {
    if header.raw_value.is_empty() { Bytes::copy_from_slice(header.value.as_bytes()) } else { header.raw_value.clone() }
}

/// The head of a request. Pseudo headers become fields; what is no legal header is left out.
pub(super) fn request(headers: Option<pb::HeaderMap>) -> Head {
    let mut head = Head { method: Method::GET, path: String::new(), headers: HeaderMap::new() };
    for header in headers.map(|map| map.headers).unwrap_or_default() {
        let value = bytes_of(&header);
        match header.key.as_str() {
            ":method" => head.method = Method::from_bytes(&value).unwrap_or_default(),
            ":path" => {
                let path = String::from_utf8_lossy(&value);
                path.split(['?', '#']).next().unwrap_or_default().clone_into(&mut head.path);
            }
            name if name.starts_with(':') => {}
            name => {
                if let (Ok(name), Ok(value)) =
                    (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_maybe_shared(value))
                {
                    head.headers.append(name, value);
                }
            }
        }
    }
    head
}

/// The head of an answer as Envoy shows it.
pub(super) fn answered(headers: Option<pb::HeaderMap>) -> (StatusCode, HeaderMap) {
    let (mut status, mut all) = (StatusCode::OK, HeaderMap::new());
    for header in headers.map(|map| map.headers).unwrap_or_default() {
        let value = bytes_of(&header);
        if header.key == ":status" {
            status = StatusCode::from_bytes(&value).unwrap_or(StatusCode::BAD_GATEWAY);
        } else if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(header.key.as_bytes()), HeaderValue::from_maybe_shared(value))
        {
            all.append(name, value);
        }
    }
    (status, all)
}

/// Status and headers of an answer, for Envoy.
pub(super) fn response(status: StatusCode, headers: &HeaderMap) -> pb::HeaderMap {
    let mut all = Vec::with_capacity(headers.len() + 1);
    all.push(pair(":status", Bytes::copy_from_slice(status.as_str().as_bytes())));
    all.extend(headers.iter().map(|(name, value)| pair(name.as_str(), Bytes::copy_from_slice(value.as_bytes()))));
    pb::HeaderMap { headers: all }
}

/// Sets headers, in place of those that are there.
pub(super) fn set(headers: &HeaderMap) -> Vec<pb::HeaderValueOption> {
    let option =
        |(name, value): (&HeaderName, &HeaderValue)| overwrite(name.as_str(), Bytes::copy_from_slice(value.as_bytes()));
    headers.iter().map(option).collect()
}

/// Sets one header, in place of what is there.
pub(super) fn overwrite(name: &str, value: impl Into<Bytes>) -> pb::HeaderValueOption {
    pb::HeaderValueOption {
        header: Some(pair(name, value)),
        append_action: pb::header_value_option::HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pseudo_headers_become_fields_and_repeated_headers_stay() {
        let text = |key: &str, value: &str| pb::HeaderValue {
            key: key.to_owned(),
            value: value.to_owned(),
            raw_value: Bytes::new(),
        };
        let headers = vec![
            pair(":method", "POST"),
            text(":path", "/v1/models?x=/v2"),
            pair(":authority", "host"),
            pair("a", "1"),
            text("a", "2"),
            pair("bad name", "x"),
        ];
        let head = request(Some(pb::HeaderMap { headers }));
        assert_eq!((head.method, head.path.as_str()), (Method::POST, "/v1/models"));
        assert_eq!(head.headers.get_all("a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(head.headers.len(), 2);
    }
}
