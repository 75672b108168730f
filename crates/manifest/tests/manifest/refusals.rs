//! Bad manifests and exactly what is said of them. `MESH_BLESS=1 cargo test -p mesh-manifest` writes the expectations
//! anew; read the difference before you commit it.

use mesh_manifest::parse;

use crate::support::{example, files, root};

#[test]
fn each_bad_manifest_is_refused_with_everything_that_is_wrong() {
    let bless = std::env::var_os("MESH_BLESS").is_some();
    let all = files("tests/bad", "yaml");
    assert!(all.len() >= 10, "tests/bad holds bad manifests");
    let mut differing = Vec::new();
    for (name, text) in all {
        let found = match parse(&text, &name) {
            Ok(manifest) => panic!("{name} must be refused, but is {manifest:?}"),
            Err(found) => found,
        };
        let shown: String = found.iter().map(|diagnostic| format!("{diagnostic}\n")).collect();
        let path = root("tests/bad").join(&name).with_extension("expected");
        if bless {
            std::fs::write(&path, &shown).expect("the expectation can be written");
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if shown != expected {
            differing.push(format!("--- {name}, expected\n{expected}--- given\n{shown}"));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn every_diagnostic_points_into_the_file_and_says_what_to_do() {
    for (name, text) in files("tests/bad", "yaml") {
        for diagnostic in parse(&text, &name).expect_err("it is bad") {
            assert!(diagnostic.line >= 1 && diagnostic.line <= text.lines().count().max(1) + 1, "{diagnostic}");
            assert!(diagnostic.column >= 1, "{diagnostic}");
            assert!(!diagnostic.hint.is_empty(), "{diagnostic}");
        }
    }
}

#[test]
fn a_wrong_entry_does_not_hide_or_move_what_is_wrong_with_the_next() {
    let text = example("maip.yaml")
        .replace("interval: 10s\n    timeout: 2s\n    fail-after", "interval: soon\n    timeout: 2s\n    fail-after")
        .replace("    interval: 10s\n    timeout: 2s\n    # The", "    interval: 10s\n    timeout: 20s\n    # The");
    let found = parse(&text, "maip.yaml").expect_err("two things are wrong");
    let paths: Vec<&str> = found.iter().map(|diagnostic| diagnostic.path.as_str()).collect();
    assert_eq!(paths, ["checks[0].interval", "checks[1].timeout"]);
    let line = text.lines().position(|line| line.contains("timeout: 20s")).expect("it is there") + 1;
    assert_eq!(found.last().expect("two").line, line);
}
