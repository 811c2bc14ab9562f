//! The table, and the file that keeps it.

use crate::{measure::Row, memory::Usage};
use serde_json::{Value, json};
use std::{fs, path::Path, process::Command};

/// Prints one group and gives it back for the file. The first row is ours, to which the others are compared.
pub fn group(title: &str, rows: &[Row]) -> Value {
    let Some(first) = rows.first() else {
        println!("\n{title}: nothing ran");
        return json!({ "title": title, "rows": [] });
    };
    let against = format!("{} / it", first.name);
    println!("\n{title} ({} runs, milliseconds)", first.times.len());
    println!("{:<34}{:>9}{:>9}{:>9}{:>9}  {against} (median, minimum)", "", "median", "minimum", "p95", "peak KB");
    let mut kept = Vec::new();
    for row in rows {
        let (median, min) = (first.median() / row.median(), first.min() / row.min());
        println!(
            "{:<34}{:>9.2}{:>9.2}{:>9.2}{:>9}  {median:>8.2}{min:>8.2}",
            row.name,
            row.median(),
            row.min(),
            row.at(0.95),
            row.peak_kb
        );
        kept.push(json!({
            "name": row.name, "runs": row.times.len(), "median_ms": row.median(), "min_ms": row.min(),
            "p95_ms": row.at(0.95), "peak_kb": row.peak_kb, "first_to_it_median": median, "first_to_it_min": min,
        }));
    }
    json!({ "title": title, "rows": kept })
}

/// The same for the processes that wait.
pub fn memory(rows: &Result<Vec<Usage>, String>) -> Value {
    println!("\nmemory while the command sleeps (KB)");
    let rows = match rows {
        Ok(rows) => rows,
        Err(why) => {
            println!("not measured: {why}");
            return json!([]);
        }
    };
    println!("{:<34}{:>9}{:>9}{:>9}", "", "private", "shared", "peak");
    let mut kept = Vec::new();
    for row in rows {
        println!("{:<34}{:>9}{:>9}{:>9}", row.name, row.private, row.proportional - row.private, row.peak);
        kept.push(json!({
            "name": row.name, "private_kb": row.private, "pss_kb": row.proportional, "peak_kb": row.peak,
        }));
    }
    Value::Array(kept)
}

/// Writes everything with where and when it was measured.
pub fn keep(path: &Path, groups: &[Value], memory: &Value) -> std::io::Result<()> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or_default();
    let git = |words: &[&str]| {
        let out = Command::new("git").current_dir(env!("CARGO_MANIFEST_DIR")).args(words).output().ok()?;
        Some(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let all = json!({
        "date": jiff::Timestamp::now().to_string(),
        "commit": git(&["rev-parse", "HEAD"]),
        "changed_since": git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|t| !t.is_empty()),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "cpu": model.trim_start_matches([' ', '\t', ':']),
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "load": fs::read_to_string("/proc/loadavg").unwrap_or_default().trim(),
        "groups": groups,
        "memory_waiting": memory,
    });
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, format!("{all:#}\n"))?;
    println!("\nkept in {}", path.display());
    Ok(())
}
