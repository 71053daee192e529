//! Length of a text in the tokens of a model, by the tokenizer of a file.

use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};
use tokenizers::{ModelWrapper, Tokenizer};

use super::companions::{self, Companion};
use super::dataset::{Disk, Root};
use super::error::ScoringError;
use super::manifest::Manifest;
use super::task::{ScorerKind, Task};
use crate::curriculum::canonical;

/// Most bytes of a tokenizer's file: the largest in use have a tenth of it.
const MAX_BYTES: u64 = 256 << 20;

/// Counts the tokens of texts.
pub struct TokenCounter(Tokenizer);

impl TokenCounter {
    /// The tokenizer of a scorer of the task, if it is the one that was inspected. What the file says of truncation, padding and
    /// dropout is left out: the length is that of the whole text, and the same each time.
    ///
    /// # Errors
    /// [`ScoringError::ScoresInvalid`] names the field when the file is not there, no tokenizer, or another one than before;
    /// [`ScoringError::Io`] when the disk or the network failed, which may pass.
    pub fn load(task: &Task, scorer: &str, root: &Root, manifest: &Manifest) -> Result<Self, ScoringError> {
        let found = task.scorers.iter().find(|known| known.name == scorer);
        let Some(ScorerKind::Tokens { tokenizer: shown, .. }) = found.map(|found| &found.kind) else {
            return Err(ScoringError::InvalidTask(format!("scorer `{scorer}` counts no tokens")));
        };
        let companion = Companion::of_name(task, scorer)?;
        let wrong = |what: String| companion.wrong(&what);
        let path = root.path.join(shown);
        let bytes = read(root.disk.as_ref(), &path);
        let bytes = bytes.map_err(|error| companion.unreadable(&path, error))?;
        let digest = canonical::digest(Sha256::new_with_prefix(&bytes));
        companion.compare(&digest, manifest)?;
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
    let mut bytes = Vec::new();
    companions::open(disk, path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        let words = format!("it has more than {} MiB, so it is no tokenizer", MAX_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::InvalidData, words));
    }
    Ok(bytes)
}
