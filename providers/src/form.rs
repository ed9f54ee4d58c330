//! Forms with a file in them (RFC 7578): finds the part that names the model in the bytes that have
//! come so far, without holding more of the file than has come before it.

use std::ops::Range;

use http::{HeaderMap, header};
use memchr::memmem;

use crate::call::BadRequest;

/// The head of one part is not longer.
const LONGEST_HEAD: usize = 16 * 1024;
/// A name of a model is not longer.
const LONGEST_VALUE: usize = 1024;

/// What of a form is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FormFields {
    /// The model, and where its name stands.
    pub(crate) model: Option<(String, Range<usize>)>,
    /// The answer is asked for as a stream.
    pub(crate) stream: bool,
}

/// Looks through a form as it comes. Each byte is looked at once.
#[derive(Debug)]
pub struct FormScanner {
    /// `\r\n--boundary`
    delimiter: Vec<u8>,
    /// Everything before this has been looked at.
    at: usize,
    /// Where the part begins that is being read.
    part: Option<usize>,
    fields: FormFields,
    over: bool,
}

impl FormScanner {
    /// A scanner for a body with these headers.
    pub fn new(headers: &HeaderMap) -> Result<Self, BadRequest> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let form = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("multipart/form-data"));
        let boundary = parameter(kind, "boundary").filter(|boundary| form && !boundary.is_empty());
        let Some(boundary) = boundary.filter(|boundary| boundary.len() <= 200) else {
            return Err(bad("the body must be multipart/form-data, with a boundary in its content-type"));
        };
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        Ok(Self { delimiter, at: 0, part: None, fields: FormFields::default(), over: false })
    }

    /// Looks at what has come since; `body` is all that has come. True once the model is known.
    pub fn look(&mut self, body: &[u8]) -> Result<bool, BadRequest> {
        while !self.over && self.step(body)? {}
        match (&self.fields.model, self.over) {
            (Some(_), _) => Ok(true),
            (None, true) => Err(BadRequest::field("model", "the form has no part `model`")),
            (None, false) => Ok(false),
        }
    }

    /// What was found.
    pub(crate) fn fields(self) -> FormFields {
        self.fields
    }

    /// Takes one delimiter, and with it the part before; false if more bytes are needed.
    fn step(&mut self, body: &[u8]) -> Result<bool, BadRequest> {
        // The first delimiter may stand at the very beginning, without a line before it.
        let rest = body.get(self.at..).unwrap_or_default();
        let opening = self.delimiter.get(2..).unwrap_or_default();
        let (found, length) = if self.at == 0 && self.part.is_none() && rest.starts_with(opening) {
            (0, opening.len())
        } else {
            let Some(found) = memmem::find(rest, &self.delimiter) else {
                self.check_head(body)?;
                // Half of a delimiter may have come.
                self.at = body.len().saturating_sub(self.delimiter.len()).max(self.at);
                return Ok(false);
            };
            (found, self.delimiter.len())
        };
        let (begins, ends) = (self.at + found, self.at + found + length);
        let Some(after) = body.get(ends..ends + 2) else { return Ok(false) };
        if let Some(part) = self.part.take() {
            self.part(body, part..begins);
        }
        self.over = after == b"--";
        self.at = ends;
        self.part = Some(ends);
        Ok(true)
    }

    /// A part whose head never ends is no form.
    fn check_head(&self, body: &[u8]) -> Result<(), BadRequest> {
        let from = self.part.unwrap_or(0);
        let part = body.get(from..).unwrap_or_default();
        if part.len() > LONGEST_HEAD
            && memmem::find(part.get(..LONGEST_HEAD).unwrap_or_default(), b"\r\n\r\n").is_none()
        {
            return Err(bad("a part of the form has no head, or one that is too long"));
        }
        Ok(())
    }

    fn part(&mut self, body: &[u8], span: Range<usize>) {
        let part = body.get(span.clone()).unwrap_or_default();
        let window = part.get(..LONGEST_HEAD.min(part.len())).unwrap_or_default();
        let Some(head) = memmem::find(window, b"\r\n\r\n") else { return };
        let start = span.start + head + 4;
        let Some(value) = body.get(start..span.end).filter(|value| value.len() <= LONGEST_VALUE) else { return };
        let Ok(value) = std::str::from_utf8(value) else { return };
        match name(part.get(..head).unwrap_or_default()).as_deref() {
            Some("model") if self.fields.model.is_none() => {
                self.fields.model = Some((value.to_owned(), start..span.end));
            }
            Some("stream") => self.fields.stream = value.trim() == "true",
            _ => {}
        }
    }
}

/// The name of a part, by its head.
fn name(head: &[u8]) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then(|| parameter(value, "name")).flatten()
    })
}

/// A parameter of a header's value, without its quotes.
fn parameter(value: &str, wanted: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.to_owned())
    })
}

fn bad(message: &str) -> BadRequest {
    BadRequest { message: message.to_owned(), param: None, code: Some("invalid_form") }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn scanner() -> FormScanner {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("multipart/form-data; boundary=\"x-y\""));
        FormScanner::new(&headers).unwrap()
    }

    fn form(parts: &[(&str, &str)]) -> String {
        let part = |(name, value): &(&str, &str)| {
            format!("--x-y\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        parts.iter().map(part).collect::<String>() + "--x-y--\r\n"
    }

    #[test]
    fn the_model_is_found_before_the_file_has_come() {
        let whole = form(&[("model", "whisper-1"), ("stream", "true"), ("file", "RIFF--x-yz")]);
        let mut scanner = scanner();
        let before = whole.find("RIFF").unwrap();
        assert!(scanner.look(&whole.as_bytes()[..before]).unwrap());
        let (model, span) = scanner.fields.model.clone().unwrap();
        assert_eq!((model.as_str(), whole.get(span), scanner.fields.stream), ("whisper-1", Some("whisper-1"), true));
    }

    #[test]
    fn a_form_without_a_model_and_what_is_no_form_are_refused() {
        assert_eq!(scanner().look(form(&[("file", "x")]).as_bytes()).unwrap_err().param.as_deref(), Some("model"));
        assert!(scanner().look("x".repeat(20_000).as_bytes()).is_err());
        for kind in ["application/json", "multipart/form-data", "multipart/mixed; boundary=a"] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            assert!(FormScanner::new(&headers).is_err(), "{kind}");
        }
    }

    proptest! {
        #[test]
        fn splits_do_not_matter(
            before in "[a-z\r\n-]{0,40}",
            after in "[a-z\r\n-]{0,40}",
            mut cuts in proptest::collection::vec(0..400_usize, 0..8),
        ) {
            let whole = form(&[("file", &before), ("model", "m-1"), ("prompt", &after)]);
            cuts.sort_unstable();
            let mut scanner = scanner();
            for cut in cuts.into_iter().chain([whole.len()]) {
                scanner.look(&whole.as_bytes()[..cut.min(whole.len())]).unwrap();
            }
            let (model, span) = scanner.fields.model.clone().unwrap();
            prop_assert_eq!((model.as_str(), whole.get(span)), ("m-1", Some("m-1")));
        }

        #[test]
        fn any_bytes_are_no_crash(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(!scanner().look(&bytes).unwrap_or(false));
        }
    }
}
