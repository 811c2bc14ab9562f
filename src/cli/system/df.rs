//! `system df`.

use super::Context;
use crate::{
    cli::{
        image::remove::users,
        table::{self, Format},
    },
    store::{
        containers,
        images::{self, Image},
        record::Status,
        unneeded::{self, Needed, Thing},
    },
    sys::process,
};
use anyhow::Result;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// Each image, container and download
    #[arg(short, long)]
    verbose: bool,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

/// One kind of thing, by docker's names.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    #[serde(rename = "Type")]
    kind: &'static str,
    total_count: usize,
    active: usize,
    /// Bytes of content.
    size: u64,
    /// What `image prune -a --blobs` and `rm` would bring.
    reclaimable: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<Item>,
}

/// One of them (`-v`).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    name: String,
    id: String,
    size: u64,
    /// What would go with it alone.
    unique_size: u64,
    active: bool,
}

pub fn df(flags: &Flags, context: &Context) -> Result<u8> {
    let sizes: BTreeMap<Thing, u64> = unneeded::everything(&context.store)
        .into_iter()
        .map(|thing| {
            let size = unneeded::size(&thing.path(&context.store)).unwrap_or(0);
            (thing, size)
        })
        .collect();
    let all: Vec<Image> = images::list(context.store.root()).into_iter().flatten().collect();
    let mut lines = vec![images_line(&all, &sizes, context)?, containers_line(context)?];
    lines.push(blobs_line(&all, &sizes, context)?);
    lines.push(parts_line(context));
    if !flags.verbose {
        lines.iter_mut().for_each(|line| line.items.clear());
    }
    if flags.format == Format::Json {
        return table::json(&lines);
    }
    let percent = |line: &Line| (line.reclaimable * 100).checked_div(line.size).unwrap_or(0);
    let row = |line: &Line| {
        let reclaimable = format!("{} ({}%)", table::size(line.reclaimable), percent(line));
        let counts = [line.total_count, line.active].map(|n| n.to_string());
        [vec![line.kind.into()], counts.to_vec(), vec![table::size(line.size), reclaimable]].concat()
    };
    table::rows(&["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"], lines.iter().map(row).collect())?;
    for line in lines.iter().filter(|line| !line.items.is_empty()) {
        table::print(&format!("\n{}:\n", line.kind))?;
        let row = |item: &Item| {
            let active = if item.active { "active" } else { "" };
            let sizes = [item.size, item.unique_size].map(table::size);
            [vec![item.name.clone(), crate::plan::short_id(&item.id).into()], sizes.to_vec(), vec![active.into()]]
                .concat()
        };
        table::rows(&["NAME", "ID", "SIZE", "UNIQUE SIZE", ""], line.items.iter().map(row).collect())?;
    }
    Ok(0)
}

fn layers(image: &Image) -> BTreeSet<Thing> {
    unneeded::things_of(image).into_iter().filter(|thing| matches!(thing, Thing::Layer(_))).collect()
}

fn images_line(all: &[Image], sizes: &BTreeMap<Thing, u64>, context: &Context) -> Result<Line> {
    let size = |thing: &Thing| sizes.get(thing).copied().unwrap_or(0);
    let mut line = Line { kind: "Images", total_count: 0, active: 0, size: 0, reclaimable: 0, items: Vec::new() };
    let (mut ids, mut used) = (BTreeSet::new(), BTreeSet::new());
    for image in all {
        let active = !users(image, context)?.is_empty();
        let own = layers(image);
        let others: BTreeSet<Thing> = all.iter().filter(|o| o.id != image.id).flat_map(layers).collect();
        if active {
            used.extend(own.iter().cloned());
        }
        line.items.push(Item {
            name: image.name.clone(),
            id: image.id.clone(),
            size: own.iter().map(size).sum(),
            unique_size: own.difference(&others).map(size).sum(),
            active,
        });
        if ids.insert(&image.id) {
            line.total_count += 1;
            line.active += usize::from(active);
        }
    }
    let layers = sizes.iter().filter(|(thing, _)| matches!(thing, Thing::Layer(_)));
    for (thing, size) in layers {
        line.size += size;
        line.reclaimable += if used.contains(thing) { 0 } else { *size };
    }
    Ok(line)
}

fn containers_line(context: &Context) -> Result<Line> {
    let machine = process::uname().0;
    let mut line = Line { kind: "Containers", total_count: 0, active: 0, size: 0, reclaimable: 0, items: Vec::new() };
    for record in containers::list(&context.store)?.into_iter().flatten() {
        let active = matches!(record.status(&machine), Status::Running | Status::Starting | Status::Elsewhere(_));
        let size = unneeded::size(&context.store.container(&record.id)).unwrap_or(0);
        line.total_count += 1;
        line.active += usize::from(active);
        line.size += size;
        line.reclaimable += if active { 0 } else { size };
        line.items.push(Item { name: record.name.unwrap_or_default(), id: record.id, size, unique_size: size, active });
    }
    Ok(line)
}

/// Packed layers that are unpacked, and what no record names, can go.
fn blobs_line(all: &[Image], sizes: &BTreeMap<Thing, u64>, context: &Context) -> Result<Line> {
    let needed = Needed::read(&context.store)?;
    let unpacked = |image: &Image, n: usize| {
        image.layers.get(n).is_some_and(|l| images::layer_dir(context.store.root(), l).is_dir())
    };
    let packed: BTreeSet<Thing> = all
        .iter()
        .flat_map(|image| image.blobs.iter().enumerate().filter(|(n, _)| unpacked(image, *n)))
        .map(|(_, blob)| Thing::Blob(blob.digest.clone()))
        .collect();
    let mut line = Line { kind: "Blobs", total_count: 0, active: 0, size: 0, reclaimable: 0, items: Vec::new() };
    for (thing, size) in sizes.iter().filter(|(thing, _)| matches!(thing, Thing::Blob(_))) {
        line.total_count += 1;
        line.active += usize::from(needed.has(thing));
        line.size += size;
        line.reclaimable += if packed.contains(thing) || !needed.has(thing) { *size } else { 0 };
    }
    Ok(line)
}

fn parts_line(context: &Context) -> Line {
    let idle: BTreeSet<_> = unneeded::leftovers(&context.store).into_iter().map(|left| left.path).collect();
    let mut line =
        Line { kind: "Partial downloads", total_count: 0, active: 0, size: 0, reclaimable: 0, items: Vec::new() };
    let entries = std::fs::read_dir(context.store.root().join("blobs/sha256")).into_iter().flatten().flatten();
    for path in entries.map(|e| e.path()).filter(|path| path.extension().is_some_and(|e| e == "part")) {
        let size = unneeded::size(&path).unwrap_or(0);
        let active = !idle.contains(&path);
        let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        line.total_count += 1;
        line.active += usize::from(active);
        line.size += size;
        line.reclaimable += if active { 0 } else { size };
        line.items.push(Item { name: String::new(), id, size, unique_size: size, active });
    }
    line
}
