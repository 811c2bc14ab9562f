//! Changes to a tar archive. A change to any byte breaks the checksum of its header, and one that moves bytes breaks all
//! that follows, so that without this the reader would refuse nearly every input at its first header.

use libfuzzer_sys::fuzzer_mutate;
use tar::Header;

const BLOCK: usize = 512;
const NAME: std::ops::Range<usize> = 0..100;
const FLAG: usize = 156;
const LINK: std::ops::Range<usize> = 157..257;

/// Every type that the reader knows, and two that it does not.
const FLAGS: &[u8] = b"\x0001234567LKxgSMVZ";

/// Changes the first `size` bytes of `data` in place and says how many there are now. One in sixteen keeps wrong sums.
pub fn change(data: &mut [u8], size: usize, seed: u32) -> usize {
    let most = data.len();
    let size = match seed % 4 {
        0 => blocks(data, size, seed / 4),
        1 => header(data, size, seed / 4),
        _ => fuzzer_mutate(data, size, most),
    };
    if seed / 64 % 16 != 0 {
        seal(&mut data[..size]);
    }
    size
}

/// Doubles, removes or exchanges blocks.
fn blocks(data: &mut [u8], size: usize, seed: u32) -> usize {
    let count = size / BLOCK;
    if count == 0 {
        return fuzzer_mutate(data, size, data.len());
    }
    let pick = |shift: u32| (seed >> shift) as usize % count * BLOCK;
    let (from, to) = (pick(2), pick(11));
    match seed % 4 {
        0 if size + BLOCK <= data.len() => {
            let block: Vec<u8> = data[from..from + BLOCK].to_vec();
            data.copy_within(to..size, to + BLOCK);
            data[to..to + BLOCK].copy_from_slice(&block);
            size + BLOCK
        }
        1 if count > 1 => {
            data.copy_within(from + BLOCK..size, from);
            size - BLOCK
        }
        2 => {
            data.copy_within(from..from + BLOCK, to);
            size
        }
        _ => {
            for at in 0..BLOCK {
                data.swap(from + at, to + at);
            }
            size
        }
    }
}

/// Another type, or one of the names in place of another.
fn header(data: &mut [u8], size: usize, seed: u32) -> usize {
    let mut all = Vec::new();
    each_header(&mut data[..size], |at, _| all.push(at));
    let pick = |shift: u32| all.get((seed >> shift) as usize % all.len().max(1)).copied();
    let (Some(one), Some(other)) = (pick(2), pick(9)) else {
        return fuzzer_mutate(data, size, data.len());
    };
    match seed % 4 {
        0 | 1 => data[one + FLAG] = FLAGS[(seed >> 16) as usize % FLAGS.len()],
        2 => data.copy_within(one + NAME.start..one + NAME.end, other + LINK.start),
        _ => data.copy_within(one + LINK.start..one + LINK.end, other + NAME.start),
    }
    size
}

/// Makes every header's checksum good.
fn seal(data: &mut [u8]) {
    each_header(data, |_, header| header.set_cksum());
}

/// Goes from header to header as a reader does, up to the block of zeros.
fn each_header(data: &mut [u8], mut with: impl FnMut(usize, &mut Header)) {
    let mut at = 0;
    while let Some(block) = data.get_mut(at..at + BLOCK).filter(|block| block.iter().any(|byte| *byte != 0)) {
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        with(at, &mut header);
        block.copy_from_slice(header.as_bytes());
        at += BLOCK;
        if matches!(block[FLAG], b'1'..=b'6') {
            continue;
        }
        let size = header.entry_size().unwrap_or(0);
        let extended = header.entry_type().is_gnu_sparse() && header.as_gnu().is_some_and(|gnu| gnu.is_extended());
        let mut more = extended;
        while more {
            // The last byte but seven says whether another block of the map follows.
            more = data.get(at + 504).is_some_and(|byte| *byte == 1);
            at += BLOCK;
        }
        at = at
            .saturating_add(usize::try_from(size).unwrap_or(usize::MAX / 2).saturating_add(BLOCK - 1) / BLOCK * BLOCK);
        if at > data.len() {
            break;
        }
    }
}
