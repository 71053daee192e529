use proptest::prelude::*;

use super::*;

/// Chi-square of counts against their expectations as a standard normal deviate (Wilson, Hilferty 1931).
fn deviate(cells: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (mut chi, mut freedom) = (0.0, -1.0);
    for (count, expected) in cells {
        chi += (count - expected).powi(2) / expected;
        freedom += 1.0;
    }
    let spread = 2.0 / (9.0 * freedom);
    ((chi / freedom).cbrt() - (1.0 - spread)) / spread.sqrt()
}

/// One-sided critical value at 10⁻⁴. The keys are fixed, so a test that passes once passes always.
const CRITICAL: f64 = 3.72;

fn assert_bijection(n: u64, key: u64) {
    let permutation = Permutation::new(n, key);
    let mut images: Vec<u64> = (0..n).collect();
    permutation.apply_all(&mut images);
    let mut seen = vec![false; n as usize];
    for (x, &y) in (0..).zip(&images) {
        assert_eq!(
            y,
            permutation.apply(x),
            "one by one and together differ: n={n} key={key} x={x}"
        );
        assert!(y < n, "n={n} key={key}: {x} leaves the domain");
        assert!(
            !std::mem::replace(&mut seen[y as usize], true),
            "n={n} key={key}: {y} twice"
        );
    }
}

#[test]
fn bijective_for_every_small_domain() {
    for n in 0..=1030 {
        assert_bijection(n, n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}

#[test]
fn bijective_around_powers_of_two_and_for_a_million() {
    for bits in 11..=17 {
        for n in [(1 << bits) - 1, 1 << bits, (1 << bits) + 1] {
            assert_bijection(n, n);
        }
    }
    assert_bijection(1_000_000, 42);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn bijective_for_any_domain_up_to_a_million(bits in 10u32..20, below in 0..1u64 << 20, key: u64) {
        // Of every magnitude.
        assert_bijection((1 << bits) + (below >> (20 - bits)), key);
    }
}

proptest! {
    #[test]
    fn huge_domains_are_kept_and_no_two_meet(n in (1u64 << 32)..=Permutation::MAX, key: u64, start: u64) {
        let permutation = Permutation::new(n, key);
        let mut images: Vec<u64> = (0..500).map(|i| (start % n + i) % n).collect();
        let one_by_one: Vec<u64> = images.iter().map(|&x| permutation.apply(x)).collect();
        permutation.apply_all(&mut images);
        prop_assert_eq!(&images, &one_by_one);
        prop_assert!(images.iter().all(|&y| y < n));
        images.sort_unstable();
        images.dedup();
        prop_assert_eq!(images.len(), 500);
    }
}

#[test]
fn what_is_outside_stays() {
    let mut xs = [5; 40];
    Permutation::new(5, 1).apply_all(&mut xs);
    assert_eq!(xs, [5; 40]);
    let permutation = Permutation::new(2000, 1);
    let mut xs = [2000; 40];
    permutation.apply_all(&mut xs);
    assert_eq!((xs, permutation.apply(u64::MAX)), ([2000; 40], u64::MAX));
    assert_eq!(Permutation::new(u64::MAX, 1).apply(Permutation::MAX), Permutation::MAX);
}

#[test]
fn every_arrangement_of_few_elements_is_equally_likely() {
    for n in 2..=6u64 {
        let arrangements: usize = (1..=n as usize).product();
        let each = 200;
        let mut counts = vec![0u32; arrangements];
        for key in 0..(arrangements * each) as u64 {
            let permutation = Permutation::new(n, mix::mix(key));
            let images: Vec<u64> = (0..n).map(|x| permutation.apply(x)).collect();
            // The number of the arrangement (Lehmer code).
            let number = (0..n as usize).fold(0, |number, i| {
                number * (n as usize - i) + images[i + 1..].iter().filter(|&&y| y < images[i]).count()
            });
            counts[number] += 1;
        }
        let z = deviate(counts.iter().map(|&count| (f64::from(count), each as f64)));
        assert!(z < CRITICAL, "n={n}: {z:.1} standard deviations too uneven");
    }
}

/// Where two positions go, over many keys: pairs of neighbours, of equal low halves, of equal high halves, and far apart.
/// A pair is the least that can show the structure of a Feistel network. With two rounds less than from 1,024 on, this fails at
/// 1,024 elements by 14 standard deviations; with four less below, at 64 by 4.
#[test]
fn pairs_of_positions_go_everywhere_equally_often() {
    for n in [17u64, 33, 64, 257, 1000, 1024, 1500, 1_000_000] {
        let cells = n.min(33);
        let samples = cells * cells * 40;
        let cell = |y: u64| (y * cells / n) as usize;
        let mut size = vec![0u64; cells as usize];
        (0..n).for_each(|y| size[cell(y)] += 1);
        let low = 1 << ((u64::BITS - (n - 1).leading_zeros()) / 2);
        for (i, (a, b)) in (0..).zip([(0, 1), (0, low), (0, n / 2), (n / 2, n - 1)]) {
            let mut counts = vec![0u32; (cells * cells) as usize];
            for key in 0..samples {
                let permutation = Permutation::new(n, mix::child(n * 4 + i, key));
                let (a, b) = (permutation.apply(a), permutation.apply(b));
                counts[cell(a) * cells as usize + cell(b)] += 1;
            }
            let expected = |i: usize, j: usize| {
                let pairs = size[i] * (size[j] - u64::from(i == j));
                samples as f64 * pairs as f64 / (n * (n - 1)) as f64
            };
            let table = counts
                .iter()
                .enumerate()
                .map(|(k, &count)| (f64::from(count), expected(k / cells as usize, k % cells as usize)));
            let z = deviate(table.filter(|&(_, expected)| expected > 0.0));
            assert!(
                z < CRITICAL,
                "n={n}, positions {a} and {b}: {z:.1} standard deviations too uneven"
            );
        }
    }
}

#[test]
fn keys_of_consecutive_passes_share_no_fixed_points() {
    // Two independent permutations agree at one position on average (Poisson distributed).
    let n = 1025;
    let agree: usize = (0..100)
        .map(|pass| {
            let (a, b) = (
                Permutation::new(n, mix::child(7, pass)),
                Permutation::new(n, mix::child(7, pass + 1)),
            );
            (0..n).filter(|&x| a.apply(x) == b.apply(x)).count()
        })
        .sum();
    assert!((60..140).contains(&agree), "{agree} agreements, about 100 expected");
}
