//! `cargo run -p mesh-history -- FILE...`: judges recorded histories again.

use std::fs::File;
use std::io::BufReader;
use std::process::ExitCode;

use mesh_history::{judge, line};

fn main() -> ExitCode {
    let mut all_good = true;
    for path in std::env::args().skip(1) {
        let lines = File::open(&path).and_then(|file| line::read(BufReader::new(file)));
        let judged =
            lines.map_err(|error| error.to_string()).and_then(|lines| judge(&lines).map_err(|e| e.to_string()));
        match judged {
            Err(error) => {
                eprintln!("{path}: {error}");
                all_good = false;
            }
            Ok(objects) => {
                for (object, judged) in objects {
                    println!("{path}: {object}: {judged}");
                    all_good &= judged.is_linearizable();
                }
            }
        }
    }
    if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
