//! What translation costs, as ratios within one run: `cargo bench -p sluice-providers`.
//!
//! Passing through is compared with what any proxy has to do with a body: read it from a socket,
//! copy it into a request, write that to a socket. Times are CPU of the one thread that does it.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that cannot run must fail, and prints")]

use std::fs;
use std::hint::black_box;
use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::json;
use sluice_providers::{Body, Call, Endpoint, Exchange, ResponseHead, StreamOut, Target, adapter};

const ROUNDS: usize = 7;

/// CPU time of this thread, nanoseconds.
fn cpu() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

/// The least CPU of one run, in microseconds: of several rounds of many runs each.
fn least(runs: u32, mut run: impl FnMut()) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let begun = cpu();
        (0..runs).for_each(|_| run());
        f64::from(u32::try_from(cpu() - begun).unwrap_or(u32::MAX)) / f64::from(runs) / 1000.0
    });
    rounds.fold(f64::MAX, f64::min)
}

/// A conversation of a megabyte. What costs is the quotes in its texts: prose has few, code many.
fn conversation(code: bool) -> Bytes {
    let prose = "The quick brown fox jumps over the lazy dog, and does so again and again, in the naïve belief that \
        somebody looks. Nobody does.\n\n\"Why,\" asks the dog, who is lazy but not asleep, \"would one do that?\" The fox \
        has no answer to this; it is what foxes do when they are used to show all the letters of an alphabet.\n";
    let snippet = "fn main() {\n    let name = std::env::args().nth(1).unwrap_or_else(|| \"world\".to_owned());\n    \
        println!(\"Hello, {name}!\");\n}\n";
    let text = if code { snippet.repeat(12) } else { prose.repeat(6) };
    let mut messages = Vec::new();
    let mut size = 0;
    while size < 1 << 20 {
        messages.push(json!({"role": if messages.len() % 2 == 0 { "user" } else { "assistant" }, "content": text}));
        size += text.len() + 40;
    }
    Bytes::from(json!({"model": "public", "messages": messages, "temperature": 0.5}).to_string())
}

/// The same request for a provider of the same format: a new model, and nothing else.
fn passed(body: Bytes, target: &Target) -> Body {
    let call = Call::parse(Endpoint::ChatCompletions, body).unwrap();
    adapter("openai").unwrap().request(&call, target).unwrap().body
}

/// Two sockets to threads of which one only sends the body, again and again, and one only reads.
fn sockets(body: &Bytes) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let connect = || (TcpStream::connect(addr).unwrap(), listener.accept().unwrap().0);
    let ((mut sender, from), (to, mut reader)) = (connect(), connect());
    let body = body.clone();
    thread::spawn(move || while sender.write_all(&body).is_ok() {});
    thread::spawn(move || {
        let mut sink = vec![0; 256 * 1024];
        while reader.read(&mut sink).is_ok_and(|read| read > 0) {}
    });
    (from, to)
}

/// Writes the slices of a body together, as an HTTP client does.
fn write(to: &mut TcpStream, body: Body) {
    let slices: Vec<Bytes> = body.slices().collect();
    let mut slices: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
    let mut left = &mut slices[..];
    while !left.is_empty() {
        let written = to.write_vectored(left).unwrap();
        IoSlice::advance_slices(&mut left, written);
    }
}

fn bodies(code: bool) {
    let (body, target) = (conversation(code), Target { model: "gpt-4o".to_owned(), ..Target::default() });
    let copy = least(400, || drop(black_box(body.to_vec())));
    let pass = least(400, || drop(black_box(passed(body.clone(), &target))));
    let kind = if code { "code" } else { "prose" };
    println!("a conversation of {} KB of {kind}, same format", body.len() / 1024);
    println!("  in memory: copy {copy:.0} us, parse and splice {pass:.0} us: {:.2}x", pass / copy);
    let (mut from, mut to) = sockets(&body);
    let mut read = move || {
        let mut buffer = vec![0; body.len()];
        from.read_exact(&mut buffer).unwrap();
        Bytes::from(buffer)
    };
    let copied = least(300, || {
        let body = read();
        to.write_all(&black_box(body.to_vec())).unwrap();
    });
    let proxied = least(300, || {
        write(&mut to, black_box(passed(read(), &target)));
    });
    println!(
        "  socket to socket: copied {copied:.0} us, passed through {proxied:.0} us: {:.2}x (at most 1.3x)",
        proxied / copied
    );
}

/// Chunks of a stream of this many pieces of text, as a provider sends them.
fn stream(kind: &str, pieces: usize) -> Vec<Bytes> {
    let word = |index: usize| format!("word{index} and so on ");
    let event = |name: &str, data: serde_json::Value| Bytes::from(format!("event: {name}\ndata: {data}\n\n"));
    let chunk = |delta: serde_json::Value, finish: Option<&str>| {
        let data = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
        Bytes::from(format!("data: {data}\n\n"))
    };
    let mut chunks = Vec::new();
    if kind == "openai" {
        chunks.push(chunk(json!({"role": "assistant", "content": ""}), None));
        chunks.extend((0..pieces).map(|index| chunk(json!({"content": word(index)}), None)));
        chunks.push(chunk(json!({}), Some("stop")));
        chunks.push(Bytes::from_static(b"data: [DONE]\n\n"));
        return chunks;
    }
    let message =
        json!({"id": "msg_1", "model": "claude", "content": [], "usage": {"input_tokens": 5, "output_tokens": 1}});
    chunks.push(event("message_start", json!({"type": "message_start", "message": message})));
    let block = json!({"type": "text", "text": ""});
    chunks
        .push(event("content_block_start", json!({"type": "content_block_start", "index": 0, "content_block": block})));
    chunks.extend((0..pieces).map(|index| {
        let delta = json!({"type": "text_delta", "text": word(index)});
        event("content_block_delta", json!({"type": "content_block_delta", "index": 0, "delta": delta}))
    }));
    chunks.push(event("content_block_stop", json!({"type": "content_block_stop", "index": 0})));
    let delta = json!({"stop_reason": "end_turn"});
    chunks
        .push(event("message_delta", json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 99}})));
    chunks.push(event("message_stop", json!({"type": "message_stop"})));
    chunks
}

/// CPU of a stream, one chunk after the other.
fn streamed(kind: &str) -> f64 {
    let body = Bytes::from_static(br#"{"model":"m","messages":[1],"stream":true}"#);
    let call = Call::parse(Endpoint::ChatCompletions, body).unwrap();
    let target = Target { model: "m".to_owned(), ..Target::default() };
    let (exchange, headers) = (Exchange { call: &call, target: &target, prompt: 0 }, HeaderMap::new());
    let (adapter, chunks) = (adapter(kind).unwrap(), stream(kind, 50));
    least(2000, || {
        let mut translator = adapter.stream(&ResponseHead { status: StatusCode::OK, headers: &headers }, &exchange);
        let mut out = StreamOut::default();
        for chunk in &chunks {
            translator.push(chunk.clone(), &mut out).unwrap();
            out.frames.drain(..).for_each(|frame| drop(black_box(frame)));
            out.text.clear();
        }
        translator.finish(&mut out).unwrap();
        assert!(out.done);
    })
}

fn main() {
    bodies(false);
    bodies(true);
    let (passed, translated) = (streamed("openai"), streamed("anthropic"));
    println!("a stream of 50 chunks");
    let ratio = translated / passed;
    println!("  passed through {passed:.1} us, translated from Anthropic {translated:.1} us: {ratio:.2}x (at most 2x)");
}
