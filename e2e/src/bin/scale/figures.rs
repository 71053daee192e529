//! What the rounds have measured, as tables.

use std::fmt::Write as _;
use std::path::Path;

use e2e::Result;

const BEGIN: &str = "<!-- Written by `make bench-scale` from here ... -->";
const END: &str = "<!-- ... to here -->";
const MEBI: f64 = 1_048_576.0;

/// What one round cost.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) program: &'static str,
    pub(crate) objects: usize,
    /// From the first object made to the end of the last.
    pub(crate) seconds: f64,
    /// Processor time of the program, in seconds.
    pub(crate) cpu: f64,
    /// The most memory that it had, in bytes.
    pub(crate) memory: u64,
    /// Processor time of kube-apiserver, in seconds.
    pub(crate) server_cpu: f64,
    /// From a start of the program with all the objects there until it has nothing left to do.
    pub(crate) restart_seconds: f64,
    /// The most memory until then, in bytes.
    pub(crate) restart_memory: u64,
}

#[expect(clippy::cast_precision_loss, reason = "numbers to look at")]
impl Figures {
    fn per_object(&self, seconds: f64) -> f64 {
        1000.0 * seconds / self.objects as f64
    }

    fn row(&self) -> String {
        format!(
            "| {:>7} | {:<12} | {:>4.0} s | {:>5.1} ms | {:>3.0} MiB | {:>7.1} ms | {:>5.1} s |",
            self.objects,
            self.program,
            self.seconds,
            self.per_object(self.cpu),
            self.memory.max(self.restart_memory) as f64 / MEBI,
            self.per_object(self.server_cpu),
            self.restart_seconds,
        )
    }
}

/// A table of the rounds; processor times are for each object.
pub(crate) fn table(all: &[Figures]) -> String {
    let mut text = String::from(
        "| objects | program      |   time |  its CPU |  memory | server CPU | restart |\n\
         |--------:|--------------|-------:|---------:|--------:|-----------:|--------:|\n",
    );
    for figures in all {
        let _ = writeln!(text, "{}", figures.row());
    }
    text
}

/// Puts the table into the page, in place of the one that is there.
///
/// # Errors
/// When the page cannot be read or written, or has no place for it.
pub(crate) fn write(page: &Path, all: &[Figures]) -> Result {
    let text = std::fs::read_to_string(page)?;
    let place = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = place.ok_or_else(|| format!("{}: no '{BEGIN}' with a '{END}'", page.display()))?;
    std::fs::write(page, format!("{before}{BEGIN}\n\n{}\n{END}{after}", table(all)))?;
    Ok(())
}
