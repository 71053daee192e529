//! Length of a text in the tokens of a model: the tokenizer of a file, and which content of the file it was.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokenizers::{ModelWrapper, Tokenizer};

use super::dataset::{Disk, is_lasting};
use super::error::ScoringError;
use super::index_file::digest_text;
use super::manifest::Manifest;
use super::task::{ScorerKind, Task};

/// Most bytes of a tokenizer's file: the largest in use have a tenth of it.
const MAX_BYTES: u64 = 256 << 20;

/// SHA-256 of each tokenizer's file by its path.
pub type TokenizerDigests = BTreeMap<String, String>;

/// The digests of the task's tokenizers. One that cannot be read is left out: the inspection says what the data set holds, and
/// with which error scoring fails is scoring's affair.
///
/// # Errors
/// Of a disk or network that may do better next time.
pub fn digests(task: &Task, root: &Path, disk: &Arc<dyn Disk>) -> Result<TokenizerDigests, ScoringError> {
    let mut digests = TokenizerDigests::new();
    for scorer in &task.scorers {
        let ScorerKind::Tokens { tokenizer, .. } = &scorer.kind else {
            continue;
        };
        let path = root.join(tokenizer);
        match read(disk.as_ref(), &path) {
            Ok(bytes) => drop(digests.insert(tokenizer.clone(), digest(&bytes))),
            Err(error) if is_lasting(&error) => tracing::warn!(%error, path = tokenizer, "a tokenizer is not readable"),
            Err(error) => return Err(ScoringError::io("read", &path, error)),
        }
    }
    Ok(digests)
}

/// How a tokenizer that is there differs from one that was; `None`: in nothing.
pub fn difference(then: &TokenizerDigests, now: &TokenizerDigests) -> Option<String> {
    let changed = |path: &&String| then.get(*path) != now.get(*path);
    let path = then.keys().chain(now.keys()).find(changed)?;
    Some(match now.get(path) {
        None => format!("the tokenizer `{path}` is gone"),
        Some(_) => format!("the tokenizer `{path}` has changed"),
    })
}

/// Counts the tokens of texts.
pub struct TokenCounter(Tokenizer);

impl TokenCounter {
    /// The tokenizer of a scorer of the task, if it is the one that was inspected. What the file says of truncation, padding and
    /// dropout is left out: the length is that of the whole text, and the same each time.
    ///
    /// # Errors
    /// [`ScoringError::ScoresInvalid`] names the field when the file is not there, no tokenizer, or another one than before;
    /// [`ScoringError::Io`] when the disk or the network failed, which may pass.
    pub fn load(
        task: &Task,
        scorer: &str,
        root: &Path,
        disk: &Arc<dyn Disk>,
        manifest: &Manifest,
    ) -> Result<Self, ScoringError> {
        let place = task.scorers.iter().position(|known| known.name == scorer);
        let Some(ScorerKind::Tokens { tokenizer: shown, .. }) = place.map(|place| &task.scorers[place].kind) else {
            return Err(ScoringError::InvalidTask(format!("scorer `{scorer}` counts no tokens")));
        };
        let wrong = |what: String| {
            ScoringError::ScoresInvalid(format!(
                "`scoring.scorers[{}].length.tokenizer.path` is `{shown}`, {what}",
                place.unwrap_or_default()
            ))
        };
        let path = root.join(shown);
        let bytes = read(disk.as_ref(), &path).map_err(|error| match error.kind() {
            _ if !is_lasting(&error) => ScoringError::io("read", &path, error),
            io::ErrorKind::NotFound => {
                wrong("which does not exist; give the path of a tokenizer.json below the data set's volume".to_owned())
            }
            _ => wrong(format!("which cannot be read: {error}")),
        })?;
        if manifest.tokenizers.get(shown) != Some(&digest(&bytes)) {
            return Err(wrong(
                "which has changed since the inspection; it must stay as it is during a run".to_owned(),
            ));
        }
        let mut tokenizer = Tokenizer::from_bytes(&bytes).map_err(|error| {
            wrong(format!(
                "which is no tokenizer.json of Hugging Face's tokenizers library: {error}"
            ))
        })?;
        tokenizer
            .with_truncation(None)
            .map_err(|error| wrong(format!("whose truncation cannot be left out: {error}")))?;
        tokenizer.with_padding(None);
        if let ModelWrapper::BPE(model) = tokenizer.get_model()
            && model.dropout.is_some()
        {
            let mut steady = model.clone();
            steady.dropout = None;
            tokenizer.with_model(steady);
        }
        Ok(Self(tokenizer))
    }

    /// Number of tokens, without those that the tokenizer would add, such as `[CLS]`; `None` when it has none for some part of
    /// the text.
    pub fn count(&self, text: &str) -> Option<usize> {
        self.0.encode_fast(text, false).ok().map(|encoding| encoding.len())
    }
}

/// The whole file.
fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let found = disk.look(path)?;
    if !found.is_file {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    disk.open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        let words = format!("it has more than {} MiB, so it is no tokenizer", MAX_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::InvalidData, words));
    }
    Ok(bytes)
}

fn digest(bytes: &[u8]) -> String {
    digest_text(Sha256::new_with_prefix(bytes))
}
