//! Sketches of texts, which tell how alike two texts are without the texts.
//!
//! A text is the set of its *shingles*, runs of so many words that follow each other (Broder 1997, "On the resemblance and containment
//! of documents"). Two texts are alike by the Jaccard similarity of their sets, |A ∩ B| / |A ∪ B|. Under a random order of all shingles
//! the least of A and the least of B are the same one with just that probability, so of 128 such orders about that fraction agrees.
//! Of each least shingle one byte is kept ("b-bit minwise hashing", Li and König 2010), which makes 16 words of 8 bytes: these words
//! are the bands in which similar texts are looked for (Leskovec, Rajaraman and Ullman, "Mining of massive datasets", chapter 3).

use twox_hash::XxHash3_64;

use super::rarity::tokens;

/// Orders of all shingles that a sketch holds the least of.
const ORDERS: usize = 128;
/// Orders of a band.
const BAND: usize = 8;
/// Bands of a sketch: texts of similarity s have a band in common with the probability 1 − (1 − s⁸)¹⁶.
pub(super) const BANDS: usize = ORDERS / BAND;
/// Two least shingles that differ have the same byte with this probability.
const BY_CHANCE: f64 = 1.0 / 256.0;

/// The bytes of the least shingles, those of a band in each word.
pub(super) type Sketch = [u64; BANDS];

/// The orders: shingles by the value of `factor · hash + offset` modulo 2⁶⁴, with an odd factor.
static FUNCTIONS: [(u64, u64); ORDERS] = functions();

/// Drawn once and for all: other functions would be other scores.
const fn functions() -> [(u64, u64); ORDERS] {
    let mut functions = [(0, 0); ORDERS];
    let (mut place, mut state) = (0, 0);
    while place < ORDERS {
        let (factor, offset) = (split_mix(&mut state), split_mix(&mut state));
        functions[place] = (factor | 1, offset);
        place += 1;
    }
    functions
}

/// The generator of Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators".
const fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mix(*state)
}

/// A bijection that makes each bit of its result depend on all bits.
pub(super) const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Makes sketches, in buffers that are used again for every text.
#[derive(Debug)]
pub(super) struct Sketcher {
    /// Words of a shingle.
    words: usize,
    /// Hash of each word of the text, one behind the other.
    text: Vec<u8>,
    shingles: Vec<u64>,
}

const WIDTH: usize = size_of::<u64>();

impl Sketcher {
    /// With shingles of `words` words, at least 1.
    pub(super) fn new(words: u32) -> Self {
        Self {
            words: words.max(1) as usize,
            text: Vec::new(),
            shingles: Vec::new(),
        }
    }

    /// The sketch of a text. Words are runs of characters between white space, in lower case. A text of fewer words than a shingle has
    /// is one shingle, and so is a text of none.
    pub(super) fn sketch(&mut self, text: &str) -> Sketch {
        self.text.clear();
        for word in tokens(text) {
            let hash = XxHash3_64::oneshot(word.as_bytes());
            self.text.extend_from_slice(&hash.to_le_bytes());
        }
        self.shingles.clear();
        let width = self.words * WIDTH;
        if self.text.len() <= width {
            self.shingles.push(XxHash3_64::oneshot(&self.text));
        } else {
            let shingles = self.text.windows(width).step_by(WIDTH);
            self.shingles.extend(shingles.map(XxHash3_64::oneshot));
        }
        sketch_of(&self.shingles)
    }
}

/// The sketch of a set of shingles by their hashes; a hash may stand there more than once.
fn sketch_of(shingles: &[u64]) -> Sketch {
    // So few functions at a time that they and their least values stay in registers.
    const AT_ONCE: usize = 4;
    let mut sketch = Sketch::default();
    for (word, functions) in sketch.iter_mut().zip(FUNCTIONS.chunks_exact(BAND)) {
        for (place, functions) in functions.as_chunks::<AT_ONCE>().0.iter().enumerate() {
            let mut least = [u64::MAX; AT_ONCE];
            for shingle in shingles {
                for (least, (factor, offset)) in least.iter_mut().zip(functions) {
                    *least = (*least).min(shingle.wrapping_mul(*factor).wrapping_add(*offset));
                }
            }
            for (byte, least) in least.iter().enumerate() {
                *word |= (mix(*least) >> 56) << (8 * (place * AT_ONCE + byte));
            }
        }
    }
    sketch
}

/// One number for the whole sketch: those of the same one are the same, and two others have the same one with a probability of 2⁻⁶⁴.
pub(super) fn whole(sketch: &Sketch) -> u64 {
    sketch.iter().fold(0, |hash, word| mix(hash ^ word))
}

/// In how many of the 128 orders two texts agree.
pub(super) fn agreement(a: &Sketch, b: &Sketch) -> u32 {
    a.iter().zip(b).map(|(a, b)| equal_bytes(*a, *b)).sum()
}

fn equal_bytes(a: u64, b: u64) -> u32 {
    const LOW: u64 = u64::from_ne_bytes([0x7f; 8]);
    let differ = a ^ b;
    // The highest bit of each byte says whether any of its bits is set.
    let set = ((differ & LOW) + LOW) | differ;
    8 - (set & !LOW).count_ones()
}

/// The Jaccard similarity of two texts that agree in so many orders, from 0 to 1: (p − 2⁻⁸) / (1 − 2⁻⁸) for a fraction p, which leaves out
/// what agrees by chance (Li and König 2010). Its standard error is √(s(1 − s)/128) for texts of similarity s, at most 0.044. Exactly 1
/// when all agree.
pub(super) fn similarity(agreement: u32) -> f64 {
    let fraction = f64::from(agreement) / ORDERS as f64;
    ((fraction - BY_CHANCE) / (1.0 - BY_CHANCE)).max(0.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn of(text: &str, words: u32) -> Sketch {
        Sketcher::new(words).sketch(text)
    }

    fn estimate(a: &str, b: &str, words: u32) -> f64 {
        similarity(agreement(&of(a, words), &of(b, words)))
    }

    /// The Jaccard similarity of two texts' shingles, by their definition.
    fn exact(a: &str, b: &str, words: usize) -> f64 {
        let set = |text: &str| -> BTreeSet<Vec<String>> {
            let text: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
            if text.len() <= words {
                return [text].into();
            }
            text.windows(words).map(<[String]>::to_vec).collect()
        };
        let (a, b) = (set(a), set(b));
        a.intersection(&b).count() as f64 / a.union(&b).count() as f64
    }

    #[test]
    fn bytes_that_are_equal_are_counted() {
        for (a, b, equal) in [
            (0, 0, 8),
            (u64::MAX, u64::MAX, 8),
            (0, u64::MAX, 0),
            (0x0102_0304_0506_0708, 0x0102_0304_0506_0709, 7),
            (0x80ff_0000_0000_0000, 0x00ff_0000_0000_0000, 7),
            (0x0101_0101_0101_0101, 0x0001_0001_0001_0001, 4),
        ] {
            assert_eq!(equal_bytes(a, b), equal, "{a:x} {b:x}");
        }
    }

    #[test]
    fn agreement_is_similarity() {
        assert_eq!(similarity(128), 1.0);
        assert_eq!(similarity(0), 0.0);
        // (64/128 − 1/256) / (255/256) = 127/255.
        assert!((similarity(64) - 127.0 / 255.0).abs() < 1e-15);
    }

    #[test]
    fn texts_are_alike_by_their_words() {
        assert_eq!(
            of("To be  or not\tto be", 3),
            of("to BE or not to be\n", 3),
            "white space and case"
        );
        assert_eq!(of("", 5), of(" \n", 5));
        // Fewer words than a shingle has: the same words or nothing in common.
        assert_eq!(of("a b", 5), of("A b", 5));
        for (a, b) in [("a b", "a c"), ("a b", "b a"), ("a", "a a"), ("", "a")] {
            assert!(estimate(a, b, 5) < 0.1, "{a:?} {b:?}");
        }
    }

    /// Of twenty words one in the middle is another: 11 shingles of 5 words are common of 16 + 5. At the end: 15 of 17.
    #[test]
    fn estimates_are_near_to_similarities_worked_out_by_hand() {
        let words = |odd: Option<usize>| -> String {
            let word = |place| format!("{}{place} ", if Some(place) == odd { "other" } else { "word" });
            (0..20).map(word).collect()
        };
        for (odd, similarity) in [(10, 11.0 / 21.0), (19, 15.0 / 17.0), (0, 15.0 / 17.0)] {
            let (a, b) = (words(None), words(Some(odd)));
            assert!((exact(&a, &b, 5) - similarity).abs() < 1e-12);
            let error = estimate(&a, &b, 5) - similarity;
            assert!(error.abs() < 3.0 * 0.044, "{odd}: {error}");
        }
    }

    /// Scores that are on users' claims.
    #[test]
    fn sketches_are_those_of_every_build_before() {
        let sketch = of("It was the best of times, it was the worst of times", 5);
        let words = [sketch[0], sketch[15], whole(&sketch)];
        assert_eq!(
            words,
            [0x97b1_7e11_869c_e23c, 0x4ada_7194_785e_436c, 0xe5b3_e336_945a_28b7]
        );
    }

    /// Texts of so few words that the same ones come again.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::collection::vec(0..6_u8, 0..40),
            prop::collection::vec(0..200_u8, 0..300)
        ]
        .prop_map(|words| words.iter().map(|word| format!("w{word} ")).collect())
    }

    proptest! {
        /// Of 128 orders, each of which agrees with the probability s, the fraction is farther from s than 5.5 standard errors of at
        /// most 0.044 once in 10⁷ times.
        #[test]
        fn estimates_are_near_to_exact_similarities(
            (a, b) in (text(), text(), 0..8_usize).prop_map(|(a, b, parts)| {
                // Parts of the one in the other make all similarities come up.
                let words: Vec<&str> = a.split(' ').collect();
                let kept = words[..words.len() * parts / 7].join(" ");
                let other = format!("{kept} {b}");
                (a, if parts == 7 { kept } else { other })
            }),
            words in 1..7_u32,
        ) {
            let (estimate, exact) = (estimate(&a, &b, words), exact(&a, &b, words as usize));
            prop_assert!((estimate - exact).abs() < 0.245, "{estimate} is far from {exact}");
            if exact == 1.0 {
                prop_assert_eq!(estimate, 1.0);
            }
        }
    }

    /// The mean of many estimates is the similarity, and their spread is that of 128 independent orders.
    #[test]
    fn estimates_have_no_bias_and_the_spread_that_is_stated() {
        const PAIRS: u64 = 2000;
        for (common, own) in [(1, 1), (4, 1), (30, 10), (200, 200)] {
            let similarity_is = f64::from(common) / f64::from(common + 2 * own);
            let mut state = u64::from(common as u32) << 32;
            let errors: Vec<f64> = (0..PAIRS)
                .map(|_| {
                    let mut draw = |count: i32| -> Vec<u64> { (0..count).map(|_| split_mix(&mut state)).collect() };
                    let common = draw(common);
                    let (a, b) = ([draw(own), common.clone()].concat(), [draw(own), common].concat());
                    similarity(agreement(&sketch_of(&a), &sketch_of(&b))) - similarity_is
                })
                .collect();
            let mean = errors.iter().sum::<f64>() / PAIRS as f64;
            let variance = errors.iter().map(|error| error * error).sum::<f64>() / PAIRS as f64;
            let stated = (similarity_is * (1.0 - similarity_is) / ORDERS as f64).sqrt();
            assert!(mean.abs() < 5.0 * stated / (PAIRS as f64).sqrt(), "{common}: {mean}");
            assert!(
                (variance.sqrt() / stated - 1.0).abs() < 0.1,
                "{common}: {} for {stated}",
                variance.sqrt()
            );
        }
    }
}
