//! The command line: flags become a [`crate::spec::Spec`], verbs call the rooms below, errors become one message.
//!
//! | exit status | meaning |
//! |---|---|
//! | 0-255 | the command's own |
//! | 128+n | the command was ended by signal n |
//! | 125 | ours, always with a line `little-container: error: …` |
//! | 126 | the command is there and cannot be executed |
//! | 127 | the command is not there |
//! | 1 | a verb other than `run` failed; `doctor`: no container can run here |
//! | 2 | the command line is wrong |

mod containers;
mod doctor;
mod export;
mod facts;
mod failure;
mod flags;
mod image;
mod images;
mod import;
mod inspect;
mod limits;
mod load;
mod login;
mod post_mortem;
mod pull;
mod push;
mod registries;
mod run;
mod save;
mod stats;
mod store;
mod system;
mod table;
mod update;
mod words;

use crate::{
    EXIT_OURS,
    host::{config, dirs},
    say::{self, Level},
    store::Store,
    sys::process,
};
use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};
use std::{env, ffi::OsString, path::PathBuf, process::ExitCode};

/// Runs containers without root: no sudo, no daemon, one file, milliseconds.
#[derive(Debug, Parser)]
#[command(name = "little-container", version, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Args)]
struct Global {
    /// Where images and containers are kept
    #[arg(long, value_name = "DIR", global = true, display_order = 100)]
    store: Option<PathBuf>,
    /// How much is said on stderr
    #[arg(long, value_name = "LEVEL", global = true, display_order = 101, default_value = "warn")]
    log_level: Level,
    /// Say only why something failed; lists print ids or names only
    #[arg(short, long, global = true, display_order = 102)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a command in a new container
    Run(Box<flags::Run>),
    /// Fetch images from a registry
    Pull(pull::Flags),
    /// Make an image of a folder or an archive with a root file system
    Import(import::Flags),
    /// Load images from an archive of docker, podman or skopeo, or from an OCI layout
    Load(load::Flags),
    /// Save images as an archive for docker, podman and skopeo, or as an OCI layout
    Save(save::Flags),
    /// Write the root file system of a container or an image as one tar archive
    Export(export::Flags),
    /// List images
    Images(images::List),
    /// Remove images
    Rmi(image::remove::Flags),
    /// Give an image more names
    Tag(image::tag::Flags),
    /// Tell how an image came about
    History(image::history::Flags),
    /// Bring an image to a registry
    Push(push::Flags),
    /// The verbs of images, as docker groups them
    Image(image::Flags),
    /// Keep the login for a registry, where docker and podman find it, too
    Login(login::Login),
    /// Forget the login for a registry
    Logout(login::Logout),
    /// List containers
    Ps(containers::List),
    /// Remove containers
    Rm(containers::Remove),
    /// Change the limits of containers that run
    Update(Box<update::Update>),
    /// Tell all that is known of containers and images, as JSON
    Inspect(inspect::Flags),
    /// Show what containers use now, again and again
    Stats(stats::Flags),
    /// Where images and containers are kept: move it
    Store(store::Flags),
    /// What the store takes, and whether it is whole
    System(system::Flags),
    /// Tell what this machine can do, what it lacks, and what mends it
    Doctor(doctor::Flags),
    /// Print the version
    Version,
    /// Print a completion script for a shell
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// The store that was chosen, and what the configuration says.
struct Context {
    config: config::Config,
    store: Store,
    quiet: bool,
}

impl Context {
    /// The configuration file, then the environment, then the flags: the later one wins.
    fn new(global: &Global) -> Result<Context> {
        let config = config::read()?;
        let named =
            global.store.clone().or_else(|| variable("STORE").map(PathBuf::from)).or_else(|| config.store.clone());
        let root = match named {
            Some(root) => std::path::absolute(root)?,
            None => dirs::default_store()?,
        };
        Ok(Context { store: Store::open(&root)?, config, quiet: global.quiet })
    }
}

/// `LITTLE_CONTAINER_…`, if it says anything.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(format!("LITTLE_CONTAINER_{name}")).filter(|v| !v.is_empty())
}

/// Reads the command line and does what it says; the exit status of the process.
pub fn main() -> ExitCode {
    if process::fill_stdio().and_then(|()| process::wait_for_children()).is_err() {
        return ExitCode::from(EXIT_OURS);
    }
    process::set_umask(0o022);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return misread(&e),
    };
    say::set_level(if cli.global.quiet { Level::Error } else { cli.global.log_level });
    let running = matches!(cli.verb, Verb::Run(_));
    match dispatch(&cli.global, cli.verb) {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            let (text, status) = failure::describe(&e);
            say::error(&text);
            ExitCode::from(if running { status } else { 1 })
        }
    }
}

/// Help and version are answers; anything else is a mistake, and for `run` one of ours, not the command's.
fn misread(e: &clap::Error) -> ExitCode {
    let _ = e.print();
    match e.exit_code() {
        0 => ExitCode::SUCCESS,
        _ if verb().is_some_and(|verb| verb == "run") => {
            say::error("the command line cannot be understood; see above");
            ExitCode::from(EXIT_OURS)
        }
        _ => ExitCode::from(2),
    }
}

/// The first word that is neither a flag nor the value of one.
fn verb() -> Option<OsString> {
    let mut words = env::args_os().skip(1);
    while let Some(word) = words.next() {
        if word == "--store" || word == "--log-level" {
            words.next();
        } else if !word.as_encoded_bytes().starts_with(b"-") {
            return Some(word);
        }
    }
    None
}

fn dispatch(global: &Global, verb: Verb) -> Result<u8> {
    match verb {
        Verb::Version => table::print(&format!("little-container {}\n", env!("CARGO_PKG_VERSION"))),
        Verb::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "little-container", &mut script);
            table::print(&String::from_utf8_lossy(&script))
        }
        Verb::Doctor(flags) => doctor::doctor(&flags, global),
        Verb::Run(flags) => run::run(*flags, &Context::new(global)?),
        Verb::Pull(flags) => pull::pull(&flags, &Context::new(global)?),
        Verb::Import(flags) => import::import(&flags, &Context::new(global)?),
        Verb::Load(flags) => load::load(&flags, &Context::new(global)?),
        Verb::Save(flags) => save::save(&flags, &Context::new(global)?),
        Verb::Export(flags) => export::export(&flags, &Context::new(global)?),
        Verb::Images(flags) => images::list(&flags, &Context::new(global)?),
        Verb::Rmi(flags) => image::remove::remove(&flags, &Context::new(global)?),
        Verb::Tag(flags) => image::tag::tag(&flags, &Context::new(global)?),
        Verb::History(flags) => image::history::history(&flags, &Context::new(global)?),
        Verb::Push(flags) => push::push(&flags, &Context::new(global)?),
        Verb::Image(flags) => image::image(flags, &Context::new(global)?),
        Verb::Login(flags) => login::login(&flags, &Context::new(global)?),
        Verb::Logout(flags) => login::logout(&flags),
        Verb::Ps(flags) => containers::list(&flags, &Context::new(global)?),
        Verb::Inspect(flags) => inspect::inspect(&flags, &Context::new(global)?),
        Verb::Update(flags) => update::update(&flags, &Context::new(global)?),
        Verb::Store(flags) => store::store(&flags, global, &Context::new(global)?),
        Verb::System(flags) => system::system(&flags, &Context::new(global)?),
        Verb::Stats(flags) => stats::stats(&flags, &Context::new(global)?),
        Verb::Rm(flags) => containers::remove(&flags, &Context::new(global)?),
    }
}
