//! Files that were compressed as a whole, and those that are taken for text by mistake.

use super::*;
use crate::scoring::report::EXIT_DATASET;

fn complaint(extension: &str, content: &[u8]) -> String {
    let error = Place::new(extension, content, vec![column("n")]).inspect().unwrap_err();
    assert_eq!(error.exit_code(), EXIT_DATASET);
    error.to_string()
}

#[test]
fn packed_data_that_are_cut_off_are_named() {
    let text: Vec<u8> = (0..1000)
        .flat_map(|n| format!("{{\"n\":{n}}}\n").into_bytes())
        .collect();
    let zstd = zstd::encode_all(&text[..], 1).unwrap();
    let message = complaint("jsonl", &zstd[..zstd.len() / 2]);
    assert!(message.contains("its zstd data are damaged or cut off"), "{message}");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &[b"n\n", &text[..]].concat()).unwrap();
    let gzip = gzip.finish().unwrap();
    let message = complaint("csv", &gzip[..gzip.len() / 2]);
    assert!(message.contains("its gzip data are damaged or cut off"), "{message}");
    let message = complaint("parquet", &gzip);
    assert!(
        message.ends_with("it is compressed with gzip as a whole; unpack it: a Parquet file is compressed inside"),
        "{message}"
    );
}

#[test]
fn what_is_no_text_is_named_with_the_mend() {
    for (content, what) in [
        (
            &b"BZh91AY&SY......"[..],
            "it is compressed with bzip2; unpack it, or compress it with gzip or zstd",
        ),
        (
            b"\xfd7zXZ\0......",
            "it is compressed with xz; unpack it, or compress it with gzip or zstd",
        ),
        (b"PK\x03\x04......", "it is a zip archive; unpack it"),
        (b"PAR1......", "it is a Parquet file; set `dataset.format: Parquet`"),
        (b"\xff\xfen\0\n\0", "its text is UTF-16; write it as UTF-8"),
    ] {
        for extension in ["csv", "jsonl"] {
            let message = complaint(extension, content);
            assert!(message.ends_with(what), "{message}");
        }
    }
}

/// `pyarrow.parquet.write_table(table(n=[1, 2]), compression="brotli")`.
const BROTLI: &str = "504152311500151c151e2c15041500150615061c0000001b0d0000a401020408862d011a9e001504192c35001806736368656d611502\
                      001502250218016e001604191c191c26001c1502192506001918016e15081604164216442608491c150015001502003c290619260004\
                      0000001642160426081644002820706172717565742d6370702d6172726f772076657273696f6e2032362e302e31191c1c0000007a00\
                      000050415231";

#[test]
fn a_compression_that_cannot_be_read_is_refused_by_the_inspection() {
    let digits: Vec<u8> = BROTLI.bytes().filter(u8::is_ascii_hexdigit).collect();
    let file: Vec<u8> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    assert_eq!(
        complaint("parquet", &file),
        "`dataset.path` `data.parquet` cannot be read as Parquet: column `n`, which scorer `column` names, is compressed with \
         Brotli; write the file with Zstandard, Snappy, gzip or LZ4"
    );
}
