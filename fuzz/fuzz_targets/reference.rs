#![no_main]
//! Names of images, as people type them.

use libfuzzer_sys::fuzz_target;
use little_container::spec::Reference;

fuzz_target!(|text: &str| {
    match text.parse::<Reference>() {
        Ok(reference) => {
            let again = |text: String| assert_eq!(text.parse().as_ref(), Ok(&reference), "{text:?}");
            again(reference.to_string());
            again(reference.familiar());
            assert!(reference.tag.is_some() || reference.digest.is_some());
            assert!(reference.repository.split('/').all(|part| !matches!(part, "" | "." | "..")));
        }
        Err(fault) => {
            assert!(!fault.to_string().is_empty() && !fault.wrong.contains('\0'));
            if let Some(meant) = fault.meant {
                assert!(meant != text && meant.parse::<Reference>().is_ok(), "{meant:?}");
            }
        }
    }
});
