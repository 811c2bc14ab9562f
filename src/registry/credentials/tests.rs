use super::*;
use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt};

fn password(user: &str, password: &str) -> Secret {
    Secret::Password { user: user.into(), password: password.into() }
}

#[test]
fn docker_s_file_and_podman_s() {
    let text = br#"{"auths": {
        "https://index.docker.io/v1/": {"auth": "dTpwOmE="},
        "quay.io/team": {"auth": "dTpi"},
        "quay.io": {"username": "u", "password": "c"},
        "ghcr.io": {"identitytoken": "t"},
        "bad.example": {"auth": "!"},
        "kept.example": {}
    }, "credsStore": "", "credHelpers": {"gcr.io": "gcloud"}, "psFormat": 1}"#;
    let entries = parse(text).unwrap();
    let of = |host: &str, repository: &str| longest(&entries, host, repository).map(|(_, secret)| secret.clone());
    assert_eq!(of("docker.io", "library/x"), Some(Ok(password("u", "p:a"))));
    assert_eq!(of("quay.io", "team/app"), Some(Ok(password("u", "b"))));
    assert_eq!(of("quay.io", "teams/app"), Some(Ok(password("u", "c"))));
    assert_eq!(of("ghcr.io", "x"), Some(Ok(Secret::Identity("t".into()))));
    assert!(of("bad.example", "x").unwrap().is_err());
    assert_eq!(of("kept.example", "x"), None);
    assert_eq!((entries.helper, entries.helpers["gcr.io"].as_str()), (None, "gcloud"));
}

#[test]
fn what_is_no_such_file_is_told_without_its_content() {
    for bad in ["{", "[]", "{\"auths\": 1}", "{\"auths\": {\"a\": ", "\u{0}", "{\"credsStore\": {\"secret\": 1}}"] {
        let why = parse(bad.as_bytes()).unwrap_err();
        assert!(!why.contains("secret"), "{why}");
    }
    assert_eq!(parse(b" \n").unwrap(), Entries::default());
    assert_eq!(parse(br#"{"auths": {"a": 1, "b": null}}"#).unwrap().auths.len(), 0);
    assert_eq!(format!("{:?}", password("u", "p")), "Password(…)");
}

#[test]
fn the_order_of_the_files() {
    let variable = |name: &str| match name {
        "HOME" => Some(OsString::from("/h")),
        "XDG_RUNTIME_DIR" => Some("/r".into()),
        "REGISTRY_AUTH_FILE" => Some("/a.json".into()),
        _ => None,
    };
    let shown: Vec<_> = files::to_read(&variable).iter().map(|file| file.display().to_string()).collect();
    let all = ["/a.json", "/r/containers/auth.json", "/h/.config/containers/auth.json", "/h/.docker/config.json"];
    assert_eq!(shown, all);
}

#[test]
fn an_entry_goes_in_and_out_and_the_rest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sub/config.json");
    files::put(&file, "docker.io", Some(("u", "p"))).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen('{', "{\"detachKeys\": \"x\",", 1)).unwrap();
    files::put(&file, "a.example:5000", Some(("v", "q"))).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("detachKeys") && text.contains(DOCKER_KEY), "{text}");
    let found = find_in(&file, "a.example:5000", "x/y").unwrap();
    assert_eq!((found.secret, found.place), (password("v", "q"), file.display().to_string()));
    assert_eq!(files::take(&file, Some("index.docker.io")).unwrap(), ["docker.io"]);
    assert_eq!(find_in(&file, "docker.io", "library/x"), None);
    assert_eq!(files::take(&file, None).unwrap(), ["a.example:5000"]);
    assert!(fs::read_to_string(&file).unwrap().contains("detachKeys"));
    fs::write(&file, "{ broken").unwrap();
    assert!(files::put(&file, "a", None).is_err());
    assert_eq!(fs::read_to_string(&file).unwrap(), "{ broken");
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
}
