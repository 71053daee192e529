//! Data sets of many files: which files they are, in which order, and that nothing else depends on how rows are divided.

use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::pipeline::{Row, all_scorers, csv, gzip, json, parquet, rows};
use super::*;
use crate::api::conditions::Reason;
use crate::scoring::manifest::Manifest;
use crate::scoring::offsets::Offsets;
use crate::scoring::report::{EXIT_DATASET, Failure};

/// A volume with these files, of which `path` is the data set.
fn volume(format: Format, path: &str, files: &[(&str, &[u8])], scorers: Vec<Scorer>) -> Place {
    let mut place = Place::new("csv", b"", scorers);
    fs::remove_file(place.root().join("data.csv")).unwrap();
    for (name, content) in files {
        let file = place.root().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    place.task.format = format;
    place.task.path = Some(path.to_owned());
    place
}

fn of_csv(path: &str, names: &[&str]) -> Place {
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (*name, &b"n\n1\n"[..])).collect();
    volume(Format::Csv, path, &files, vec![column("n")])
}

fn listed(place: &Place) -> Vec<String> {
    place.inspect().unwrap();
    let manifest = Manifest::load(&place.store(), &place.task).unwrap();
    manifest.files.into_iter().map(|file| file.path).collect()
}

fn complaint(error: &ScoringError) -> String {
    assert_eq!(error.exit_code(), EXIT_DATASET);
    let Failure { reason, message } = error.failure(Reason::InspectionFailed);
    format!("{reason}: {message}")
}

fn refused(place: &Place) -> String {
    complaint(&place.inspect().unwrap_err())
}

fn write(format: Format, part: &[Row], packed: bool) -> Vec<u8> {
    let text = match format {
        Format::Parquet => return parquet(part, 3),
        Format::Csv => csv(part),
        Format::JsonLines => json(part),
    };
    if packed { gzip(&text) } else { text }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn parts_give_the_index_of_the_whole(
        rows in rows(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
        packed in prop::collection::vec(any::<bool>(), 10),
        shards in 1..6_u32,
    ) {
        let mut digests = Vec::new();
        for (format, extension) in [(Format::Csv, "csv"), (Format::JsonLines, "jsonl"), (Format::Parquet, "parquet")] {
            let whole = write(format, &rows, false);
            let name = format!("whole.{extension}");
            let mut place = volume(format, &name, &[(&name, &whole)], all_scorers()).grouped("label");
            place.task.shards = shards;
            let (summary, _) = place.run().unwrap();
            digests.push(summary.digest);

            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(rows.len() + 1)).collect();
            ends.push(rows.len());
            ends.sort_unstable();
            let mut from = 0;
            for (index, end) in ends.iter().enumerate() {
                let part = write(format, &rows[from..*end], packed[index]);
                fs::write(place.root().join(format!("part-{index:05}-of-{:05}.{extension}", ends.len())), part).unwrap();
                from = *end;
            }
            place.task.path = Some(format!("part-*.{extension}"));
            let (summary, _) = place.run().unwrap();
            prop_assert_eq!(&summary.digest, digests.last().unwrap());
            prop_assert_eq!(&summary.group_rows.iter().sum::<u64>(), &(rows.len() as u64));
        }
        digests.dedup();
        prop_assert_eq!(digests.len(), 1);
    }
}

#[test]
fn files_stand_in_the_order_of_their_paths() {
    let names = [
        "train/b.csv",
        "train/a/z.csv.gz",
        "train/a-1.csv",
        "train/B.tsv",
        "train/_SUCCESS",
        "train/.part.csv",
        "train/.hidden/x.csv",
        "train/_temporary/0/x.csv",
        "train/notes.txt",
        "train/c.jsonl",
        "other/x.csv",
    ];
    let sorted = ["train/B.tsv", "train/a-1.csv", "train/a/z.csv.gz", "train/b.csv"];
    assert_eq!(listed(&of_csv("train", &names)), sorted);
    assert_eq!(listed(&of_csv("./train//", &names)), sorted);
    assert_eq!(listed(&of_csv("train/*.csv", &names)), ["train/a-1.csv", "train/b.csv"]);
    assert_eq!(
        listed(&of_csv("**/[ax]*.csv", &names)),
        ["other/x.csv", "train/a-1.csv"]
    );
    assert_eq!(listed(&of_csv("*/?.csv", &names)), ["other/x.csv", "train/b.csv"]);
    let mut place = of_csv("", &names);
    (place.task.path, place.task.paths) = (
        None,
        vec!["train/b.csv".to_owned(), "other".to_owned(), "train/a*.csv".to_owned()],
    );
    assert_eq!(listed(&place), ["train/b.csv", "other/x.csv", "train/a-1.csv"]);
}

#[test]
fn a_name_with_a_star_may_be_a_files_own() {
    assert_eq!(listed(&of_csv("a[1]*.csv", &["a[1]*.csv", "a1.csv"])), ["a[1]*.csv"]);
    assert_eq!(
        listed(&of_csv("a[1]*.csv", &["a1.csv", "a12.csv", "a2.csv"])),
        ["a1.csv", "a12.csv"]
    );
}

#[test]
fn a_part_that_is_missing_is_named() {
    let parts = [
        "d/t-00000-of-00004-x.csv",
        "d/t-00002-of-00004-y.csv",
        "d/v-1-of-2.csv",
        "d/v-2-of-2.csv",
    ];
    assert_eq!(
        refused(&of_csv("d", &parts)),
        "DatasetNotFound: `dataset.path` `d`: by their names there are 4 parts, of which 2 are missing: `d/t-00001-of-00004-x.csv` \
         and `d/t-00003-of-00004-x.csv`; bring them to the volume, or name those that you want in `dataset.paths`"
    );
    // Not asked for, so not missing.
    assert_eq!(listed(&of_csv("d/t-0000[02]-*.csv", &parts)).len(), 2);
    assert_eq!(listed(&of_csv("d/v-*.csv", &parts)).len(), 2);
}

#[test]
fn what_leads_to_no_file_is_refused() {
    let names = ["a.csv", "sub/b.jsonl", "deep/c.csv"];
    assert_eq!(
        refused(&of_csv("x-*.csv", &names)),
        "DatasetNotFound: `dataset.path` is `x-*.csv`, but the volume has no file whose path is like that"
    );
    assert_eq!(
        refused(&of_csv("sub", &names)),
        "DatasetNotFound: `dataset.path` is `sub`, a folder that has no CSV file in it or below"
    );
    let bad = refused(&of_csv("a[.csv", &names));
    assert!(
        bad.starts_with("InvalidSpec: `dataset.path` is `a[.csv`, which is no pattern: "),
        "{bad}"
    );
    let mut place = of_csv("", &names);
    (place.task.path, place.task.paths) = (None, vec!["a.csv".to_owned(), "*.csv".to_owned()]);
    assert_eq!(
        refused(&place),
        "InvalidSpec: `dataset.paths[1]` `*.csv` has file `a.csv`, which `dataset.paths[0]` has already; name each file once"
    );
    let place = of_csv("deep", &names);
    symlink(place.root().join("sub"), place.root().join("deep/more")).unwrap();
    assert_eq!(
        refused(&place),
        "DatasetUnreadable: `dataset.path` `deep` has `deep/more`, a link to a folder, which is not followed; name it in \
         `dataset.paths`"
    );
}

#[test]
fn a_fault_is_told_with_its_file() {
    let files: [(&str, &[u8]); 3] = [
        ("d/a.csv", b"n,t\n1,x\n"),
        ("d/b.csv", b""),
        ("d/c.csv", b"t,n\ny,2\nz\n"),
    ];
    let mut place = volume(Format::Csv, "d", &files, vec![column("n")]);
    assert_eq!(
        refused(&place),
        "DatasetUnreadable: `dataset.path` `d`: file `d/c.csv` cannot be read as CSV: line 3 has 1 field, the header has 2; mend \
         it, or allow such rows by `dataset.maxBadRows`: they stay rows, without a score"
    );
    place.task.max_bad_rows = 1;
    place.task.min_coverage = "0.5".to_owned();
    let (summary, index) = place.run().unwrap();
    // The columns' order is each file's own.
    assert_eq!((summary.rows, index.scores()[..2].to_vec()), (3, vec![1.0, 2.0]));
    fs::write(place.root().join("d/b.csv"), "m\n1\n").unwrap();
    assert_eq!(
        refused(&place),
        "ColumnNotFound: in file `d/b.csv`: scorer `column` names column `n`, which does not exist; the columns are `m`"
    );
}

#[test]
fn files_stay_those_that_were_inspected() {
    let place = of_csv("d", &["d/a.csv", "d/b.csv", "d/c.csv"]);
    place.inspect().unwrap();
    fs::write(place.root().join("d/aa.csv"), "n\n7\n").unwrap();
    place.score().unwrap();
    assert_eq!(place.index().unwrap().rows, 3);
    fs::write(place.root().join("d/b.csv"), "n\n2\n").unwrap();
    assert_eq!(
        complaint(&place.score().unwrap_err()),
        "DatasetUnreadable: `dataset.path` `d`: file `d/b.csv` has other content than when it was inspected; a data set must not \
         change during a run"
    );
    fs::remove_file(place.root().join("d/b.csv")).unwrap();
    assert!(complaint(&place.score().unwrap_err()).contains("file `d/b.csv`: No such file"));
    // The other data are other scores.
    let stale = place.inspect().unwrap().stale_index.unwrap();
    assert_eq!(
        stale,
        "the data have changed: their length is the same, their content is not"
    );
}

#[test]
fn offsets_are_those_of_each_file() {
    let files: [(&str, &[u8]); 3] = [
        ("d/a.csv", b"n\n1\n\n22\n"),
        ("d/b.csv", b"n\n"),
        ("d/c.csv", b"n\n\"3\"\n4"),
    ];
    let place = volume(Format::Csv, "d", &files, vec![column("n")]);
    place.inspect().unwrap();
    let manifest = Manifest::load(&place.store(), &place.task).unwrap();
    let rows: Vec<_> = manifest.files.iter().map(|file| file.rows).collect();
    assert_eq!(rows, [2, 0, 2]);
    let offsets = Offsets::open(&place.store().offsets(&place.task), 4).unwrap().unwrap();
    let found: Vec<u64> = (0..4).map(|row| offsets.at(row).unwrap()).collect();
    // An empty line before a row is passed over by whoever reads the row.
    assert_eq!([found[0], found[2], found[3]], [2, 2, 6]);
    assert!((4..=5).contains(&found[1]), "{found:?}");
    assert_eq!(
        offsets.read(2, 2).unwrap(),
        [2_u64.to_le_bytes(), 6_u64.to_le_bytes()].concat()
    );
    assert!(Offsets::open(&place.store().offsets(&place.task), 5).is_err());
}
