//! Where generated files go: to standard output, into a folder, or into a comparison with a folder.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// One generated file.
pub(super) struct Generated {
    /// Name within the folder.
    pub(super) name: String,
    /// Its whole content.
    pub(super) text: String,
}

/// What happens to generated files.
pub(super) enum Target {
    /// They are printed one after the other.
    Print,
    /// They are written to this folder.
    Write(PathBuf),
    /// They are compared with this folder's.
    Check(PathBuf),
}

impl Target {
    /// From the options `--out` and `--check`, of which at most one is set.
    pub(super) fn new(out: Option<PathBuf>, check: Option<PathBuf>) -> Self {
        match (out, check) {
            (Some(dir), _) => Self::Write(dir),
            (None, Some(dir)) => Self::Check(dir),
            (None, None) => Self::Print,
        }
    }

    /// Delivers the files; `remedy` is the command that would bring a folder up to date.
    pub(super) fn deliver(self, files: &[Generated], remedy: &str) -> ExitCode {
        match self {
            Self::Print => {
                files.iter().for_each(|file| print!("{}", file.text));
                ExitCode::SUCCESS
            }
            Self::Write(dir) => {
                let written = fs::create_dir_all(&dir).and_then(|()| {
                    files
                        .iter()
                        .try_for_each(|file| fs::write(dir.join(&file.name), &file.text))
                });
                match written {
                    Ok(()) => ExitCode::SUCCESS,
                    Err(error) => {
                        eprintln!("error: cannot write to {}: {error}", dir.display());
                        ExitCode::FAILURE
                    }
                }
            }
            Self::Check(dir) => {
                let mut current = true;
                for file in files {
                    let path = dir.join(&file.name);
                    let difference = match fs::read_to_string(&path) {
                        Ok(text) => first_difference(&text, &file.text),
                        Err(error) => Some(error.to_string()),
                    };
                    if let Some(difference) = difference {
                        current = false;
                        eprintln!("error: {} is not up to date: {difference}", path.display());
                    }
                }
                if current {
                    ExitCode::SUCCESS
                } else {
                    eprintln!("run `{remedy} {}`", dir.display());
                    ExitCode::FAILURE
                }
            }
        }
    }
}

/// The first line in which the file on disk differs from the generated one.
fn first_difference(found: &str, wanted: &str) -> Option<String> {
    if found == wanted {
        return None;
    }
    let same = found.lines().zip(wanted.lines()).take_while(|(f, w)| f == w).count();
    let line = |text: &str| {
        text.lines()
            .nth(same)
            .map_or_else(|| "the end".to_owned(), |line| format!("`{line}`"))
    };
    Some(format!(
        "line {} is {} and should be {}",
        same + 1,
        line(found),
        line(wanted)
    ))
}

#[cfg(test)]
mod tests {
    use super::first_difference;

    #[test]
    fn the_first_differing_line_is_named() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(
            first_difference("a\nb\n", "a\nc\n").as_deref(),
            Some("line 2 is `b` and should be `c`")
        );
        assert_eq!(
            first_difference("a\n", "a\nc\n").as_deref(),
            Some("line 2 is the end and should be `c`")
        );
    }
}
