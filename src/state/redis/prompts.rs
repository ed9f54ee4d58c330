//! The prompts beside shared answers: in vector sets, in an index of `FT.SEARCH`, or in a stream that
//! each replica reads. What is found is a shortlist and no more.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::{Cmd, RedisResult, Script, Value};
use tokio::time::Instant;

use super::answers::{AnswerIndex, Answers, Fault, Session, lifetime};
use super::connect::Connection;
use super::wire::{Digest, hex, unhex};

/// Prompts of one partition in a vector set; the first to end go first.
const MOST_IN_SET: usize = 10_000;
/// Prompts in the stream, about.
const MOST_IN_STREAM: usize = 50_000;
/// Prompts read at once.
const PAGE: usize = 500;
const BEHIND: Duration = Duration::from_secs(1);

/// An id of the stream, and its fields.
type Row = (String, Vec<(String, Vec<u8>)>);

static SHELVE: LazyLock<Script> = LazyLock::new(|| Script::new(SHELVE_CODE));
const SHELVE_CODE: &str = include_str!("lua/cache_shelve.lua");

/// A prompt whose answer is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedPrompt {
    /// Under which its answer is.
    pub key: Digest,
    /// The prompt.
    pub text: String,
}

/// A part of the stream of prompts.
#[derive(Debug)]
pub struct PromptPage {
    /// What it holds.
    pub prompts: Vec<Streamed>,
    /// Where it ends; `None` if there is nothing.
    pub last: Option<String>,
    /// Whether there is another.
    pub more: bool,
}

/// A prompt of the stream.
#[derive(Clone, Debug)]
pub struct Streamed {
    /// Of all partitions.
    pub partition: Digest,
    /// The prompt and its answer's key.
    pub prompt: SharedPrompt,
    /// How long the answer has left.
    pub left: Duration,
}

impl Answers {
    /// What this server can search with. In a cluster `FT.SEARCH` would see one node's part only.
    pub(super) async fn detect(&self, connection: &Connection) -> AnswerIndex {
        let mut connection = connection.clone();
        let vector = blob(&vec![1.0; self.embedding.1]);
        let mut cmd = redis::cmd("VSIM");
        cmd.arg(format!("{}none", self.prefix)).arg("FP32").arg(&vector).arg("COUNT").arg(1);
        match cmd.query_async::<Value>(&mut connection).await {
            Ok(_) => return AnswerIndex::VectorSets,
            Err(error) => tracing::debug!(%error, "the shared cache has no vector sets"),
        }
        if self.cluster {
            return AnswerIndex::Stream;
        }
        let searched = match self.create_index(&mut connection).await {
            Ok(()) => self.search(&[0; 32], &vector, 1).query_async::<Vec<Value>>(&mut connection).await,
            Err(error) => Err(error),
        };
        match searched {
            Ok(_) => AnswerIndex::Search,
            Err(error) => {
                tracing::debug!(%error, "the shared cache has no FT.SEARCH");
                AnswerIndex::Stream
            }
        }
    }

    async fn create_index(&self, connection: &mut Connection) -> RedisResult<()> {
        let mut cmd = redis::cmd("FT.CREATE");
        cmd.arg(self.index_name()).arg("ON").arg("HASH").arg("PREFIX").arg(1).arg(self.prompt_prefix());
        cmd.arg("SCHEMA").arg("p").arg("TAG").arg("v").arg("VECTOR").arg("FLAT").arg(6);
        cmd.arg("TYPE").arg("FLOAT32").arg("DIM").arg(self.embedding.1).arg("DISTANCE_METRIC").arg("COSINE");
        match cmd.query_async::<Value>(connection).await {
            Err(error) if !error.to_string().contains("already exists") => Err(error),
            _ => Ok(()),
        }
    }

    /// Puts a prompt where it is found by others, for as long as its answer is kept.
    pub async fn shelve(
        &self,
        partition: &Digest,
        prompt: &SharedPrompt,
        vector: &[f32],
        ttl: Duration,
    ) -> Result<(), Fault> {
        let session = self.session()?;
        match session.index {
            AnswerIndex::VectorSets => {
                let keys = self.set_keys(partition);
                let (ttl, most) = (lifetime(ttl).to_string(), MOST_IN_SET.to_string());
                let args = [blob(vector), element(prompt).into_bytes(), ttl.into_bytes(), most.into_bytes()];
                self.script::<Value>("shelve", &SHELVE, SHELVE_CODE, &keys, &args).await.map(drop)
            }
            AnswerIndex::Search => {
                let key = self.prompt_key(&prompt.key);
                let mut pipe = redis::pipe();
                pipe.atomic().cmd("HSET").arg(&key).arg("p").arg(hex(partition)).arg("v").arg(blob(vector));
                pipe.arg("k").arg(hex(&prompt.key)).arg("t").arg(&prompt.text).ignore();
                pipe.cmd("PEXPIRE").arg(&key).arg(lifetime(ttl)).ignore();
                let mut connection = session.connection.clone();
                let call = async move { pipe.query_async::<()>(&mut connection).await };
                self.timed("shelve", Instant::now() + BEHIND, &session, call).await
            }
            AnswerIndex::Stream => {
                let mut cmd = redis::cmd("XADD");
                cmd.arg(self.stream_key()).arg("MAXLEN").arg("~").arg(MOST_IN_STREAM).arg("*");
                cmd.arg("k").arg(&prompt.key[..]).arg("p").arg(&partition[..]).arg("t").arg(&prompt.text);
                cmd.arg("x").arg(lifetime(ttl));
                let mut connection = session.connection.clone();
                let call = async move { cmd.query_async::<Value>(&mut connection).await };
                self.timed("shelve", Instant::now() + BEHIND, &session, call).await.map(drop)
            }
        }
    }

    /// Takes a prompt away whose answer is gone.
    pub async fn unshelve(&self, partition: &Digest, prompt: &SharedPrompt) -> Result<(), Fault> {
        let session = self.session()?;
        let mut connection = session.connection.clone();
        let mut pipe = redis::pipe();
        match session.index {
            AnswerIndex::VectorSets => {
                let [set, ends] = self.set_keys(partition);
                let element = element(prompt);
                pipe.cmd("VREM").arg(set).arg(&element).ignore().cmd("ZREM").arg(ends).arg(&element).ignore();
            }
            AnswerIndex::Search => {
                pipe.cmd("UNLINK").arg(self.prompt_key(&prompt.key)).ignore();
            }
            AnswerIndex::Stream => return Ok(()),
        }
        let call = async move { pipe.query_async::<()>(&mut connection).await };
        self.timed("unshelve", Instant::now() + BEHIND, &session, call).await
    }

    /// The prompts of a partition that are nearest to a vector, nearest first. None of a stream.
    pub async fn nearest(
        &self,
        partition: &Digest,
        vector: &[f32],
        count: usize,
        until: Instant,
    ) -> Result<Vec<SharedPrompt>, Fault> {
        let session = self.session()?;
        match session.index {
            AnswerIndex::VectorSets => self.nearest_in_set(&session, partition, vector, count, until).await,
            AnswerIndex::Search => self.nearest_by_search(&session, partition, vector, count, until).await,
            AnswerIndex::Stream => Ok(Vec::new()),
        }
    }

    async fn nearest_in_set(
        &self,
        session: &Arc<Session>,
        partition: &Digest,
        vector: &[f32],
        count: usize,
        until: Instant,
    ) -> Result<Vec<SharedPrompt>, Fault> {
        let [set, _] = self.set_keys(partition);
        let mut cmd = redis::cmd("VSIM");
        cmd.arg(set).arg("FP32").arg(blob(vector)).arg("COUNT").arg(count);
        let mut connection = session.connection.clone();
        let call = async move { cmd.query_async::<Vec<String>>(&mut connection).await };
        let found = self.timed("nearest", until, session, call).await?;
        Ok(found.iter().filter_map(|element| prompt_of(element)).collect())
    }

    async fn nearest_by_search(
        &self,
        session: &Arc<Session>,
        partition: &Digest,
        vector: &[f32],
        count: usize,
        until: Instant,
    ) -> Result<Vec<SharedPrompt>, Fault> {
        let cmd = self.search(partition, &blob(vector), count);
        let mut connection = session.connection.clone();
        let call = async move { cmd.query_async::<Vec<Value>>(&mut connection).await };
        let rows = self.timed("nearest", until, session, call).await?;
        // The number of rows, then each row's key and its fields.
        Ok(rows.into_iter().skip(1).filter_map(row).collect())
    }

    fn search(&self, partition: &Digest, vector: &[u8], count: usize) -> Cmd {
        let mut cmd = redis::cmd("FT.SEARCH");
        cmd.arg(self.index_name()).arg(format!("(@p:{{{}}})=>[KNN {count} @v $q AS d]", hex(partition)));
        cmd.arg("PARAMS").arg(2).arg("q").arg(vector).arg("SORTBY").arg("d");
        cmd.arg("RETURN").arg(2).arg("k").arg("t").arg("LIMIT").arg(0).arg(count).arg("DIALECT").arg(2);
        cmd
    }

    /// The prompts after a place of the stream, `""` being its beginning.
    pub async fn prompts_after(&self, id: &str) -> Result<PromptPage, Fault> {
        let session = self.session()?;
        let mut connection = session.connection.clone();
        let from = if id.is_empty() { "-".to_owned() } else { format!("({id}") };
        let mut pages = redis::cmd("XRANGE");
        pages.arg(self.stream_key()).arg(from).arg("+").arg("COUNT").arg(PAGE);
        let time = redis::cmd("TIME");
        let call = async move {
            let rows: Vec<Row> = pages.query_async(&mut connection).await?;
            if rows.is_empty() {
                return Ok((rows, 0));
            }
            let (seconds, _): (u64, u64) = time.query_async(&mut connection).await?;
            Ok((rows, seconds * 1000))
        };
        let (rows, now) = self.timed("prompts", Instant::now() + BEHIND, &session, call).await?;
        let (more, last) = (rows.len() == PAGE, rows.last().map(|(id, _)| id.clone()));
        let prompts = rows.iter().filter_map(|(id, fields)| streamed(id, fields, now)).collect();
        Ok(PromptPage { prompts, last, more })
    }

    /// The vector set of a partition and its ends, in one slot.
    fn set_keys(&self, partition: &Digest) -> [String; 2] {
        ["v", "z"].map(|kind| format!("{}{{{}}}:{kind}:{}", self.prefix, hex(partition), self.embedding.0))
    }

    fn index_name(&self) -> String {
        format!("{}index:{}", self.prefix, self.embedding.0)
    }

    fn prompt_prefix(&self) -> String {
        format!("{}h:{}:", self.prefix, self.embedding.0)
    }

    fn prompt_key(&self, key: &Digest) -> String {
        format!("{}{}", self.prompt_prefix(), hex(key))
    }

    fn stream_key(&self) -> String {
        format!("{}prompts", self.prefix)
    }
}

/// Little-endian, as both kinds of index take it.
fn blob(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn element(prompt: &SharedPrompt) -> String {
    format!("{}{}", hex(&prompt.key), prompt.text)
}

fn prompt_of(element: &str) -> Option<SharedPrompt> {
    let (key, text) = element.split_at_checked(64)?;
    Some(SharedPrompt { key: unhex(key)?, text: text.to_owned() })
}

fn row(value: Value) -> Option<SharedPrompt> {
    let fields: Vec<(String, String)> = redis::from_redis_value(value).ok()?;
    let field = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    Some(SharedPrompt { key: unhex(field("k")?)?, text: field("t")?.clone() })
}

/// A row of the stream; ids begin with the server's clock.
fn streamed(id: &str, fields: &[(String, Vec<u8>)], now: u64) -> Option<Streamed> {
    let field = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice());
    let digest = |name: &str| -> Option<Digest> { field(name)?.try_into().ok() };
    let text = String::from_utf8(field("t")?.to_vec()).ok()?;
    let ttl: u64 = std::str::from_utf8(field("x")?).ok()?.parse().ok()?;
    let added: u64 = id.split('-').next()?.parse().ok()?;
    let left = Duration::from_millis(added.saturating_add(ttl).saturating_sub(now));
    Some(Streamed { partition: digest("p")?, prompt: SharedPrompt { key: digest("k")?, text }, left })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_its_prompt() {
        let prompt = SharedPrompt { key: [0xAB; 32], text: "Grüße: {what} \"is\" it?".to_owned() };
        assert_eq!(prompt_of(&element(&prompt)).unwrap(), prompt);
        for foreign in ["", "short", &"g".repeat(70), &"é".repeat(40)] {
            assert_eq!(prompt_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_row_of_the_stream_has_what_is_left_of_its_time() {
        let fields = |ttl: &str| {
            let row = [("k", vec![1; 32]), ("p", vec![2; 32]), ("t", b"hi".to_vec()), ("x", ttl.as_bytes().to_vec())];
            row.map(|(name, value)| (name.to_owned(), value)).to_vec()
        };
        let read = streamed("1000-3", &fields("500"), 1200).unwrap();
        assert_eq!((read.partition, read.prompt.key, read.left), ([2; 32], [1; 32], Duration::from_millis(300)));
        assert_eq!(streamed("1000-3", &fields("500"), 2000).unwrap().left, Duration::ZERO);
        assert!(streamed("1000-3", &fields("x"), 0).is_none());
        assert!(streamed("1000-3", &fields("5")[1..], 0).is_none());
    }
}
