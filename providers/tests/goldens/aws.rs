//! Writes AWS's binary event stream from lines of text: `<event> <payload>`, with a `!` before the
//! name of an exception and a `#` before a message whose checksum is wrong.

pub(crate) fn stream(text: &str) -> Vec<u8> {
    text.lines().filter(|line| !line.is_empty()).flat_map(line).collect()
}

fn line(line: &str) -> Vec<u8> {
    let (name, payload) = line.split_once(' ').unwrap_or((line, "{}"));
    if let Some(name) = name.strip_prefix('!') {
        return message(&[(":message-type", "exception"), (":exception-type", name)], payload);
    }
    let broken = name.strip_prefix('#');
    let headers =
        [(":event-type", broken.unwrap_or(name)), (":content-type", "application/json"), (":message-type", "event")];
    let mut bytes = message(&headers, payload);
    if broken.is_some() {
        *bytes.last_mut().unwrap() ^= 1;
    }
    bytes
}

fn message(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).unwrap());
        head.extend_from_slice(name.as_bytes());
        head.push(7);
        head.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        head.extend_from_slice(value.as_bytes());
    }
    let total = 16 + head.len() + payload.len();
    let mut out = u32::try_from(total).unwrap().to_be_bytes().to_vec();
    out.extend_from_slice(&u32::try_from(head.len()).unwrap().to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(payload.as_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out
}
