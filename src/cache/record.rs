//! An answer as the shared cache keeps it: compressed, with whose it is, sealed to its key and partition.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sluice_policies::Demand;

use super::answer::{Answer, Told as Kept};
use super::ask::{Ask, Digest, Known, Owner};
use super::purges::Stamp;
use super::store::Entry;
use crate::state::PurgeMark;

/// Begins every value; another version is not read.
const MAGIC: &[u8; 4] = b"SCA1";
const SEAL: usize = 32;

#[derive(Serialize, Deserialize)]
struct Record {
    tenant: String,
    key: String,
    model: String,
    text: Option<String>,
    epoch: u64,
    seq: u64,
    ttl_ms: u64,
    /// Tokens of the prompt and of the answer, micro-dollars.
    made: [u64; 3],
    told: Told,
}

/// What tells the answer again.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Told {
    /// As the provider sent it.
    Body(String),
    /// A stream, and the provider's usage.
    Stream { stream: String, usage: Option<Value> },
    /// Whatever it is, it is told again byte for byte.
    Is { content: String, bytes: String, usage: Option<Value> },
}

impl Told {
    fn of(answer: &Answer) -> Option<Self> {
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        let usage = answer.usage.clone();
        Some(match &answer.told {
            Kept::Whole(body) => Self::Body(text(body)?),
            Kept::Stream(pieces, _) => Self::Stream { stream: text(&pieces.stream())?, usage },
            Kept::AsIs(pieces) => Self::Is { content: answer.content.clone(), bytes: text(&pieces.stream())?, usage },
        })
    }

    fn answer(self) -> Option<Answer> {
        match self {
            // Whether it may be told again is asked once more.
            Self::Body(body) => Answer::of_json(body.as_bytes()),
            Self::Stream { stream, usage } => Answer::of_events(stream.as_bytes(), usage),
            Self::Is { content, bytes, usage } => Some(Answer::as_is(content, bytes.as_bytes(), usage)),
        }
    }
}

/// The value of an answer.
pub(super) fn encode(entry: &Entry) -> Option<Vec<u8>> {
    let ask = &entry.ask;
    let record = Record {
        tenant: ask.owner.tenant.to_string(),
        key: ask.owner.key.to_string(),
        model: ask.model.to_string(),
        text: ask.text.clone(),
        epoch: ask.stamp.shared.epoch,
        seq: ask.stamp.shared.seq,
        ttl_ms: u64::try_from(entry.ttl.as_millis()).unwrap_or(u64::MAX),
        made: [entry.made.input, entry.made.output, entry.made.cost_micros],
        told: Told::of(&entry.answer)?,
    };
    let plain = serde_json::to_vec(&record).ok()?;
    let length = u32::try_from(plain.len()).ok()?.to_le_bytes();
    let packed = lz4_flex::block::compress(&plain);
    let seal = seal((&ask.key, &ask.partition), length, &packed);
    Some([MAGIC, &length[..], &seal, &packed].concat())
}

/// The answer of a value that was written for this key in this partition (`of`) and no other; `left` is how
/// long it is kept still, and `here` what was purged in this process when it was asked for.
pub(super) fn decode(value: &[u8], of: (&Digest, &Digest), left: Duration, here: u64, most: usize) -> Option<Entry> {
    let rest = value.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (sealed, packed) = rest.split_first_chunk::<SEAL>()?;
    if seal(of, *length, packed) != *sealed {
        return None;
    }
    let length = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|length| *length <= most)?;
    let plain = lz4_flex::block::decompress(packed, length).ok()?;
    let record: Record = serde_json::from_slice(&plain).ok()?;
    let owner = Owner { tenant: record.tenant.into(), key: record.key.into(), user: None };
    let stamp = Stamp { here, shared: PurgeMark { epoch: record.epoch, seq: record.seq } };
    let (key, partition) = (*of.0, *of.1);
    let (model, text, known) = (record.model.into(), record.text, Known::default());
    let ask = Ask { owner, model, partition, key, text, stamp, known };
    let ttl = Duration::from_millis(record.ttl_ms);
    let left = left.min(ttl);
    let now = Instant::now();
    let kept = now.checked_sub(ttl.saturating_sub(left)).unwrap_or(now);
    let answer = record.told.answer()?;
    let [input, output, cost_micros] = record.made;
    let made = Demand { input, output, cost_micros };
    Some(Entry { answer: Arc::new(answer), ask, shelved: None, kept, ttl: left, made })
}

fn seal((key, partition): (&Digest, &Digest), length: [u8; 4], packed: &[u8]) -> Digest {
    let hash = Sha256::new().chain_update(MAGIC).chain_update(key).chain_update(partition);
    hash.chain_update(length).chain_update(packed).finalize().into()
}

#[cfg(test)]
mod tests {
    use crate::cache::store::Shelved;
    use serde_json::json;

    use super::*;

    const MOST: usize = 1 << 20;
    const MADE: Demand = Demand { input: 5, output: 6, cost_micros: 7 };

    fn entry(body: bool) -> Entry {
        let message = json!({"role": "assistant", "content": "Grüße. ".repeat(50)});
        let usage = json!({"total_tokens": 5});
        let value = json!({"id": "c", "created": 3, "model": "m", "usage": usage,
            "choices": [{"message": message, "finish_reason": "stop"}]});
        let mut answer = Answer::of_json(value.to_string().as_bytes()).unwrap();
        if !body {
            answer = Answer::of_events(&answer.tell(true, true), None).unwrap();
        }
        let owner = Owner { tenant: "acme".into(), key: "web".into(), user: Some("ann".to_owned()) };
        let stamp = Stamp { here: 9, shared: PurgeMark { epoch: u64::MAX, seq: 4 } };
        let (partition, key, text) = ([1; 32], [2; 32], Some("Who is it?".to_owned()));
        let ask = Ask { owner, model: "m".into(), partition, key, text, stamp, known: Known::default() };
        Entry {
            answer: Arc::new(answer),
            ask,
            shelved: Some(Shelved { id: 1, dimensions: 0 }),
            kept: Instant::now(),
            ttl: Duration::from_mins(1),
            made: MADE,
        }
    }

    #[test]
    fn a_value_is_its_answer_again() {
        for body in [true, false] {
            let kept = entry(body);
            let value = encode(&kept).unwrap();
            assert!(value.len() < 600, "compressed: {}", value.len());
            let read = decode(&value, (&[2; 32], &[1; 32]), Duration::from_secs(20), 1, MOST).unwrap();
            assert_eq!((&read.answer, read.made, read.ttl), (&kept.answer, MADE, Duration::from_secs(20)));
            assert!(read.kept.elapsed() >= Duration::from_secs(40), "it is as old as it is");
            let (ask, before) = (read.ask, kept.ask);
            assert_eq!((&ask.model, &ask.owner.key, &ask.text), (&before.model, &before.owner.key, &before.text));
            assert_eq!((ask.stamp.shared, ask.stamp.here), (before.stamp.shared, 1));
            assert!(ask.owner.user.is_none(), "who asked is not kept");
        }
    }

    #[test]
    fn a_value_of_another_key_or_partition_or_changed_by_a_bit_is_none() {
        let value = encode(&entry(true)).unwrap();
        let read = |value: &[u8], key: u8, partition: u8, most: usize| {
            decode(value, (&[key; 32], &[partition; 32]), Duration::from_secs(1), 0, most).is_some()
        };
        assert!(read(&value, 2, 1, MOST));
        assert!(!read(&value, 3, 1, MOST) && !read(&value, 2, 3, MOST) && !read(&value, 2, 1, 10));
        for at in 0..value.len() {
            let mut changed = value.clone();
            changed[at] ^= 1;
            assert!(!read(&changed, 2, 1, MOST), "byte {at}");
            assert!(!read(&value[..at], 2, 1, MOST), "cut at {at}");
        }
    }
}
