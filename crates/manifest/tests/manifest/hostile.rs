//! Whatever the text is, the answer is a manifest or diagnostics: no panic, no endless work.

use mesh_manifest::{MANIFEST_BYTES_MAX, parse};

use crate::support::{examples, files};

#[test]
fn an_alias_bomb_is_refused_before_it_is_expanded() {
    let mut bomb = String::from("a0: &a0 [x, x]\n");
    for i in 1..64 {
        bomb += &format!("a{i}: &a{i} [*a{0}, *a{0}]\n", i - 1);
    }
    let found = parse(&bomb, "bomb.yaml").expect_err("it is refused");
    assert_eq!((found.len(), found[0].message.as_str()), (1, "an anchor"));
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let found = parse(&"#".repeat(MANIFEST_BYTES_MAX + 1), "large.yaml").expect_err("it is refused");
    assert!(found[0].message.contains("bytes"), "{}", found[0]);
}

#[test]
fn deep_nesting_is_refused() {
    for text in ["[".repeat(100_000), "- ".repeat(10_000) + "x", "a: {".repeat(200), "? ".repeat(1000)] {
        assert!(parse(&text, "deep.yaml").is_err());
    }
}

#[test]
fn many_mistakes_give_a_bounded_answer() {
    let text: String = (0..50_000).map(|i| format!("key{i}: 1\n")).collect();
    let found = parse(&text, "many.yaml").expect_err("it is refused");
    assert!(found.len() <= 200, "{}", found.len());
}

#[test]
fn no_cut_of_an_example_or_a_bad_manifest_ends_the_process() {
    for (name, text) in examples().into_iter().chain(files("tests/bad", "yaml")) {
        for end in (0..text.len()).step_by(7).filter(|end| text.is_char_boundary(*end)) {
            let _ = parse(&text[..end], &name);
        }
    }
}

/// Seeded edits of the examples: bytes replaced, lines dropped, doubled and swapped.
#[test]
fn no_edit_of_an_example_ends_the_process() {
    const MARKS: &[u8] = b"{}[]:-,&*!|>'\"%@`#? \n\t~0aZ\\";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below.max(1)).expect("a small number")).expect("a small number")
    };
    let all = examples();
    for _ in 0..2_000 {
        let (name, text) = &all[draw(all.len())];
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=draw(4) {
            let at = draw(bytes.len());
            match draw(3) {
                0 => bytes[at] = MARKS[draw(MARKS.len())],
                1 => bytes.insert(at, MARKS[draw(MARKS.len())]),
                _ => {
                    bytes.truncate(bytes.len().max(64) - draw(64));
                }
            }
        }
        let edited = String::from_utf8_lossy(&bytes);
        if let Err(found) = parse(&edited, name) {
            assert!(!found.is_empty(), "a refusal says why:\n{edited}");
        }
    }
}

#[test]
fn texts_that_are_no_manifest_are_refused_in_words() {
    for text in ["", " ", "\n", "---", "null", "x", "[]", "{}", "a: b: c", "\u{0}", "%YAML 1.2", "- - -", "!!x y", "\t"]
    {
        let found = parse(text, "x.yaml").expect_err("it is refused");
        assert!(!found.is_empty() && !found[0].message.is_empty(), "{text:?}");
    }
}
