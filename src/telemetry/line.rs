//! The line of the access log: one JSON object, written field by field. Names are stable: people
//! parse them.

use std::time::{Duration, UNIX_EPOCH};

use super::record::{Record, Tried};

/// Appends the line of a request, with its end.
pub(super) fn write(out: &mut Vec<u8>, record: &Record) {
    let [input, cached, written, output, reasoning] = record.tokens;
    let since = record.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut line = Line { out, digits: itoa::Buffer::new(), between: b'{' };
    line.number("ts_ms", u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    line.text("request_id", &record.request_id);
    line.text("endpoint", record.endpoint);
    line.maybe("tenant", record.tenant.as_deref());
    line.maybe("key", record.key.as_deref());
    line.maybe("user", record.user.as_deref());
    line.maybe("class", record.class.as_deref());
    line.maybe("model", record.model.as_deref());
    line.maybe("target", record.target.as_deref());
    line.number("attempts", record.attempts.into());
    if !record.tried.is_empty() {
        line.text("tried", &Tried::line(&record.tried));
    }
    if let Some(cause) = record.fallback {
        line.text("fallback", cause);
    }
    if let Some(cache) = &record.cache {
        line.text("cache", cache);
    }
    if record.continued > 0 {
        line.number("continued", record.continued.into());
    }
    line.bare("stream", if record.stream { b"true" } else { b"false" });
    line.number("status", record.status.into());
    line.text("outcome", record.outcome.as_str());
    line.maybe("error", record.error.as_deref());
    line.maybe("limit", record.limit.as_deref());
    line.number("counted_input", record.counted_input);
    line.maybe("count_method", record.count_method);
    line.number("output_bound", record.output_bound);
    line.number("input_tokens", input);
    line.number("cached_input_tokens", cached);
    line.number("cache_write_tokens", written);
    line.number("output_tokens", output);
    line.number("reasoning_tokens", reasoning);
    line.text("usage", if record.usage_reported { "provider" } else { "counted" });
    line.number("cost_micros", record.cost_micros);
    line.number("bytes_out", record.bytes_out);
    line.time("admit_ms", Some(record.admit));
    line.time("queue_ms", record.queued);
    line.time("overhead_ms", record.overhead);
    line.time("first_token_ms", record.first_token);
    line.time("duration_ms", Some(record.duration));
    line.out.extend_from_slice(b"}\n");
}

struct Line<'a> {
    out: &'a mut Vec<u8>,
    digits: itoa::Buffer,
    /// What comes before the next field.
    between: u8,
}

impl Line<'_> {
    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(&[self.between, b'"']);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.between = b',';
    }

    fn bare(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.out.extend_from_slice(value);
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        let before = self.out.len();
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
        if value.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
            self.out.truncate(before);
            // Writing a string to a vector cannot fail.
            serde_json::to_writer(&mut *self.out, value).unwrap_or_default();
        }
    }

    fn maybe(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.bare(name, b"null"),
        }
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.out.extend_from_slice(self.digits.format(value).as_bytes());
    }

    /// Milliseconds, to the nearest thousandth.
    fn time(&mut self, name: &str, time: Option<Duration>) {
        let Some(time) = time else { return self.bare(name, b"null") };
        let micros = u64::try_from((time.as_nanos() + 500) / 1000).unwrap_or(u64::MAX);
        self.number(name, micros / 1000);
        // The thousand in front keeps the zeros behind the point.
        let digits = self.digits.format(1000 + micros % 1000).as_bytes();
        let kept = digits.iter().rposition(|digit| *digit != b'0').unwrap_or(0).max(1);
        self.out.push(b'.');
        self.out.extend_from_slice(digits.get(1..=kept).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn line(record: &Record) -> Value {
        let mut out = Vec::new();
        write(&mut out, record);
        assert_eq!(out.pop(), Some(b'\n'));
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_line_says_what_is_known() {
        let mut record = Record::start(Arc::from("req_1"), "/v1/embeddings");
        let empty = line(&record);
        assert_eq!((&empty["tenant"], &empty["queue_ms"], empty.get("tried")), (&Value::Null, &Value::Null, None));
        record.user = Some("a\"b\\\n\u{1}é".to_owned());
        record.tokens = [1, 2, 3, u64::MAX, 5];
        record.tried = vec![Tried { target: "a/m".to_owned(), why: "503".to_owned() }];
        record.stream = true;
        let line = line(&record);
        assert_eq!(line["user"], "a\"b\\\n\u{1}é");
        assert_eq!((&line["output_tokens"], &line["reasoning_tokens"]), (&json!(u64::MAX), &json!(5)));
        assert_eq!((&line["tried"], &line["stream"]), (&json!("a/m=503"), &json!(true)));
        assert_eq!(line.as_object().unwrap().len(), empty.as_object().unwrap().len() + 1);
    }

    #[test]
    fn times_are_milliseconds_to_the_nearest_thousandth() {
        for (nanos, expected) in [
            (0, "0.0"),
            (499, "0.0"),
            (500, "0.001"),
            (1_000_000, "1.0"),
            (1_500_000, "1.5"),
            (12_050_000, "12.05"),
            (999_999_600, "1000.0"),
            (3_600_000_007_000, "3600000.007"),
        ] {
            let mut out = Vec::new();
            let mut line = Line { out: &mut out, digits: itoa::Buffer::new(), between: b'{' };
            line.time("t", Some(Duration::from_nanos(nanos)));
            assert_eq!(String::from_utf8(out).unwrap(), format!("{{\"t\":{expected}"));
        }
    }
}
