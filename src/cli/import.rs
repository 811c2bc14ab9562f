//! `import`: a folder or an archive becomes an image of one layer.

use super::{Context, images as image_verbs, table};
use crate::{
    host::config,
    image::{self, Owners, Source, Unpacked},
    oci::{Descriptor, Platform},
    plan::ids::Ids,
    say,
    spec::{Digest, Reference},
    store::{
        self,
        images::{self, Image},
        record::start_time,
    },
    transfer::import::{About, Tee},
    userns,
};
use anyhow::{Context as _, Result};
use std::{
    ffi::{OsStr, OsString},
    fs,
    os::fd::AsFd,
    path::Path,
};

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// Make it the image for `run COMMAND`
    #[arg(long)]
    default: bool,
    /// What a container of it runs and has, as a line of a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL,
    /// USER, VOLUME, WORKDIR; may be given again
    #[arg(short, long = "change", value_name = "LINE")]
    changes: Vec<String>,
    /// What is to be said of it in its history
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    message: String,
    /// For which machine it is [default: read from its programs]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// The image's name
    #[arg(value_name = "NAME")]
    name: String,
    /// A folder, a tar archive (plain, gzip, xz, zstd, lzma), a cpio archive, or -
    #[arg(value_name = "SOURCE")]
    source: OsString,
}

/// What comes back from the user namespace.
#[derive(serde::Serialize, serde::Deserialize)]
struct Made {
    unpacked: Unpacked,
    layer: Descriptor,
    architecture: Option<String>,
}

pub fn import(flags: &Flags, context: &Context) -> Result<u8> {
    let mut about = About { message: flags.message.clone(), platform: flags.platform.clone(), ..About::default() };
    for line in &flags.changes {
        about.change(line).map_err(|e| anyhow::anyhow!("--change {line:?}: {e}"))?;
    }
    let image = from_source(&flags.name, &flags.source, &about, context)?;
    if flags.default {
        let file = config::set_default_image(&image.name)?;
        say::note(&format!("{} is now the default image ({})", image.name, file.display()));
    }
    let text = if context.quiet {
        image.id.clone()
    } else {
        format!("{}  {}  {}", image.name, image.id, table::size(image.size))
    };
    table::print(&format!("{text}\n"))
}

/// Imports it, in place of an image that had the name.
pub fn from_source(name: &str, source: &OsStr, about: &About, context: &Context) -> Result<Image> {
    images::valid_name(name).map_err(|e| {
        anyhow::anyhow!(
            "{e}\n  fix (you): lower-case letters, digits, '.', '_', '-' and '/' make a name, and a tag may follow ':'"
        )
    })?;
    if images::canonical(name) == super::words::HOST {
        anyhow::bail!("the name host stands for this machine's own programs\n  fix (you): choose another name");
    }
    let root = context.store.root();
    sweep_staging(root);
    let staging = images::staging(root);
    store::make_private_folder(&staging.join("root")).with_context(|| format!("make {}", staging.display()))?;
    let work = || -> Result<Image> {
        let blob = staging.join("blob");
        let tee = Tee::new(&blob).with_context(|| format!("make {}", blob.display()))?;
        let input = image::source::open_through(source, |input| tee.behind(input)).map_err(|e| {
            // What is no archive is told by its name; what cannot be read has a cause of its own.
            let unreadable = e.chain().any(|part| part.is::<std::io::Error>());
            let remedy = "import\n  fix (you): give a folder, a tar or a cpio archive (plain, gzip, xz, zstd, lzma) with \
                          a root file system, or -";
            e.context(if unreadable { "import" } else { remedy })
        })?;
        let ids = super::facts::usable_ids()?;
        ids.note.iter().for_each(|note| say::note(note));
        let made = unpack(input, &tee, &staging, &ids)
            .with_context(|| format!("import {} into {}", Path::new(source).display(), root.display()))?;
        keep(name, source, made, &staging, about, ids.map.is_range(), context)
    };
    work().inspect_err(|_| drop(image_verbs::remove_layer(&staging)))
}

/// With a range of ids the files get their real owners, which only works inside; else they are ours and no namespace is
/// needed.
fn unpack(input: Source, tee: &Tee, staging: &Path, ids: &Ids) -> Result<Made> {
    let owners = if ids.map.is_range() { Owners::Mapped } else { Owners::Single };
    let folder = staging.join("root");
    let work = || -> Result<Made> {
        let root = fs::File::open(&folder).with_context(|| format!("open {}", folder.display()))?;
        fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let (mut unpacked, archive) = match input {
            Source::Folder(from) => (image::copy_tree(from.as_fd(), root.as_fd(), &owners)?, false),
            Source::Archive(reader) => (image::unpack(reader, root.as_fd(), &owners)?, true),
            Source::Cpio(stream) => (image::unpack_cpio(*stream, root.as_fd(), &owners)?, false),
        };
        let layer = if archive { tee.as_it_came()? } else { None };
        let layer = match layer {
            Some(layer) => layer,
            None if archive => tee.packed_again()?,
            None => {
                let (layer, diff_id) = tee.of_tree(root.as_fd(), &unpacked.records)?;
                unpacked.diff_id = diff_id;
                layer
            }
        };
        let architecture = image::architecture_of(root.as_fd()).map(String::from);
        Ok(Made { unpacked, layer, architecture })
    };
    if owners == Owners::Single {
        return work();
    }
    let bytes = userns::inside(&ids.map, &ids.mapper, || Ok(serde_json::to_vec(&work()?)?))?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn keep(
    name: &str,
    source: &OsStr,
    made: Made,
    staging: &Path,
    about: &About,
    range: bool,
    context: &Context,
) -> Result<Image> {
    made.unpacked.notes.iter().for_each(|note| say::note(note));
    let (store, root) = (&context.store, context.store.root());
    let diff_id: Digest = made.unpacked.diff_id.parse().map_err(anyhow::Error::msg)?;
    let (documents, _locks) =
        about.keep(store, &made.layer, &diff_id, made.architecture.as_deref(), &staging.join("blob"))?;
    if !made.unpacked.records.is_empty() {
        store::write_atomically(&staging.join("owners.json"), &serde_json::to_vec(&made.unpacked.records)?)?;
    }
    let facts = serde_json::json!({ "size": made.unpacked.size });
    store::write_atomically(&staging.join("layer.json"), &serde_json::to_vec(&facts)?)?;
    let place = store.layer(&diff_id);
    if place.exists() {
        // The same content is there already.
        image_verbs::remove_layer(staging)?;
    } else {
        fs::rename(staging, &place).with_context(|| format!("rename {} to {}", staging.display(), place.display()))?;
    }
    let before = images::named(root, name).ok().flatten();
    let platform = documents.config.platform();
    let image = Image {
        version: images::VERSION,
        name: images::canonical(name).into(),
        id: documents.id.hex().into(),
        layers: vec![made.unpacked.diff_id.clone()],
        created: images::now(),
        size: made.unpacked.size,
        architecture: platform.architecture,
        variant: platform.variant,
        os: platform.os,
        config: documents.config.config.into(),
        source: Path::new(source).display().to_string(),
        ids: if range { "range" } else { "single" }.into(),
        manifest: Some(documents.manifest),
        blobs: vec![made.layer],
        stored: images::now(),
        ..Image::default()
    };
    images::record(root, &image)?;
    before.iter().for_each(|old| tell_replaced(old, &image));
    Ok(image)
}

fn tell_replaced(old: &Image, new: &Image) {
    if let Some(full) = new.name.parse::<Reference>().ok().filter(|_| old.name != new.name) {
        say::note(&format!("{} takes the place of {}: both are {full}", new.name, old.name));
    }
    if old.id != new.id {
        say::info(&format!("{} was {} before; its layer stays until no container needs it", old.name, old.id));
    }
}

/// What imports that were killed have left.
fn sweep_staging(root: &Path) {
    let Ok(entries) = fs::read_dir(root.join("layers")) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|n| n.strip_prefix(".tmp-")?.split('-').next()?.parse::<i32>().ok());
        if pid.is_some_and(|pid| start_time(pid).is_none()) {
            let _ = image_verbs::remove_layer(&entry.path());
        }
    }
}
