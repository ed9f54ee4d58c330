//! Model names as segments of a path.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands in a segment unescaped (RFC 3986, section 2.3), and `@`, which Vertex's names hold.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@');

/// One segment: slashes and colons of ARNs are escaped too. A name of dots alone would climb.
pub(crate) fn segment(name: &str) -> String {
    let escaped = utf8_percent_encode(name, KEPT).to_string();
    if escaped.bytes().all(|byte| byte == b'.') { escaped.replace('.', "%2E") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_segment_whatever_they_hold() {
        assert_eq!(segment("anthropic.claude-3-5-sonnet-20241022-v2:0"), "anthropic.claude-3-5-sonnet-20241022-v2%3A0");
        assert_eq!(
            segment("arn:aws:bedrock:us-east-1:1:inference-profile/x"),
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx"
        );
        assert_eq!(segment("claude-sonnet-4-5@20250929"), "claude-sonnet-4-5@20250929");
        assert_eq!(segment("../../x?y#z"), "..%2F..%2Fx%3Fy%23z");
        assert_eq!(segment(".."), "%2E%2E");
    }
}
