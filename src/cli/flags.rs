//! The flags of `run`, as they are typed.

use super::limits::RunFlags;
use crate::spec::{Network, Pull, Storage, Userns};
use std::{ffi::OsString, path::PathBuf};

/// Flags and words. Names and meanings are docker's and podman's where they have one.
#[derive(Debug, clap::Args)]
#[command(override_usage = "little-container run [FLAGS] [IMAGE] [COMMAND [ARG…]]")]
#[command(after_help = "\
The first word is an image if it is the name of one (`images` lists them), looks like a reference (ubuntu:22.04), is well \
known (alpine, debian, …), or is the path of a folder or an archive. Otherwise it is the command, in the default image.

Exit status: the command's own; 128+n when signal n ended it; 127 not found, 126 not executable, 125 our own error.")]
pub struct Run {
    /// The image; every word is then the command
    #[arg(long, value_name = "IMAGE", conflicts_with = "rootfs")]
    pub image: Option<String>,
    /// When the image's registry is asked
    #[arg(long, value_name = "WHEN")]
    pub pull: Option<Pull>,
    /// For which machine the image is to be, where there are several: OS/ARCHITECTURE[/VARIANT]
    #[arg(long, value_name = "PLATFORM", conflicts_with = "rootfs")]
    pub platform: Option<String>,
    /// Any folder as the root file system, never written to; every word is then the command
    #[arg(long, value_name = "DIR")]
    pub rootfs: Option<PathBuf>,
    /// Give the container a name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Remove the container and all it wrote when it ends
    #[arg(long)]
    pub rm: bool,
    /// Hand standard input on (the default); `--interactive=false` gives /dev/null
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub interactive: Option<bool>,
    /// Give the command a terminal of its own (the default where stdin and stdout are terminals)
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub tty: Option<bool>,
    /// Set a variable: KEY=VALUE, or KEY for your own value
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub env: Vec<OsString>,
    /// Read variables from a file, one a line
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// The working directory inside; made where it is missing
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<OsString>,
    /// Who to run as: names of the image, or numbers
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// The host name inside
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// Show a file or folder of the machine inside
    #[arg(short, long, value_name = "SRC:DST[:ro]")]
    pub volume: Vec<OsString>,
    /// Mount an empty file system in memory (options: size=, mode=, nr_inodes=, exec, ro)
    #[arg(long, value_name = "DST[:OPTIONS]")]
    pub tmpfs: Vec<OsString>,
    /// Make the root file system read-only
    #[arg(long)]
    pub read_only: bool,
    /// Run a reaper as process 1: it passes signals on and collects orphans
    #[arg(long)]
    pub init: bool,
    /// Run this in place of the image's entrypoint; an empty word clears it
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<OsString>,
    /// Which user and group ids exist inside
    #[arg(long, value_name = "MODE")]
    pub userns: Option<Userns>,
    /// How writes are kept apart from the image
    #[arg(long, value_name = "DRIVER")]
    pub storage: Option<Storage>,
    /// Which network the command sees
    #[arg(long, value_name = "NETWORK")]
    pub network: Option<Network>,
    /// Print the plan and do nothing
    #[arg(long, conflicts_with = "explain")]
    pub dry_run: bool,
    /// Tell what each step does and why, as it is done
    #[arg(long)]
    pub explain: bool,
    /// The image, then the command and its arguments
    #[arg(value_name = "WORD", trailing_var_arg = true)]
    pub words: Vec<OsString>,
    // The last one: its heading in the help would be that of every flag after it.
    #[command(flatten)]
    pub limits: RunFlags,
}
