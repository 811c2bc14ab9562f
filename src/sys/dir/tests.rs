use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn name(text: &str) -> &OsStr {
    OsStr::new(text)
}

#[test]
fn a_tree_is_removed_and_links_are_not_followed() -> io::Result<()> {
    let home = tempfile::tempdir()?;
    let outside = home.path().join("outside");
    fs::create_dir_all(home.path().join("tree/work/work"))?;
    fs::create_dir(&outside)?;
    fs::write(outside.join("kept"), "x")?;
    fs::write(home.path().join("tree/file"), "x")?;
    symlink(&outside, home.path().join("tree/link"))?;
    fs::set_permissions(home.path().join("tree/work/work"), fs::Permissions::from_mode(0o0))?;
    fs::set_permissions(home.path().join("tree/work"), fs::Permissions::from_mode(0o500))?;
    let root = open_root(home.path())?;
    remove_tree(root.as_fd(), name("tree"))?;
    assert!(!home.path().join("tree").exists());
    assert!(outside.join("kept").exists());
    remove_tree(root.as_fd(), name("tree"))?;
    symlink(&outside, home.path().join("top"))?;
    remove_tree(root.as_fd(), name("top"))?;
    assert!(outside.join("kept").exists());
    Ok(())
}

#[test]
fn a_name_that_is_not_one_component_is_refused() -> io::Result<()> {
    let home = tempfile::tempdir()?;
    let root = open_root(home.path())?;
    for bad in ["", ".", "..", "/", "a/b", "../x", "a/", "./a"] {
        assert!(remove_tree(root.as_fd(), name(bad)).is_err(), "{bad:?}");
    }
    Ok(())
}

#[test]
fn a_tree_deeper_than_any_path_is_removed() -> io::Result<()> {
    let home = tempfile::tempdir()?;
    let root = open_root(home.path())?;
    let mut here = open_root(home.path())?;
    // 3,000 levels of 4 bytes: three times PATH_MAX, and more than the usual limit of open files.
    for _ in 0..3000 {
        make_dir(here.as_fd(), name("deep"), 0o700)?;
        drop(create_file(here.as_fd(), name(".removed-1"), 0o600));
        here = open_dir_beneath(here.as_fd(), Path::new("deep"))?;
    }
    remove_tree(root.as_fd(), name("deep"))?;
    assert!(!home.path().join("deep").exists());
    Ok(())
}

#[test]
fn a_path_is_resolved_inside_the_root() -> io::Result<()> {
    let home = tempfile::tempdir()?;
    fs::create_dir_all(home.path().join("root/tmp"))?;
    fs::create_dir(home.path().join("tmp"))?;
    fs::write(home.path().join("tmp/file"), "outside")?;
    symlink("/tmp", home.path().join("root/absolute"))?;
    symlink("../../tmp", home.path().join("root/climbing"))?;
    let root = open_root(&home.path().join("root"))?;
    for path in ["absolute/file", "climbing/file", "../tmp/file", "/tmp/file"] {
        let error = open_in_root(root.as_fd(), Path::new(path)).map(drop).map_err(|error| error.kind());
        assert_eq!(error, Err(io::ErrorKind::NotFound), "{path}");
    }
    let inside = stat_fd(resolve_dir(root.as_fd(), Path::new("climbing"))?)?.inode;
    assert_eq!(inside, stat(root.as_fd(), name("tmp"))?.inode);
    assert!(open_dir_beneath(root.as_fd(), Path::new("absolute")).is_err());
    Ok(())
}

#[test]
fn an_id_of_minus_one_is_no_success() -> io::Result<()> {
    let home = tempfile::tempdir()?;
    let root = open_root(home.path())?;
    drop(create_file(root.as_fd(), name("file"), 0o600)?);
    assert!(chown(root.as_fd(), name("file"), Some(u32::MAX), None).is_err());
    assert!(chown(root.as_fd(), name("file"), None, Some(u32::MAX)).is_err());
    Ok(())
}
