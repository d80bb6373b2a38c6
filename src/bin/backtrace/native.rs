//! The functions on a stack.

use std::collections::BTreeMap;

#[cfg(target_arch = "x86_64")]
use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{ExplicitModuleSectionInfo, Module, Unwinder as _};

use super::capture::Stack;
use super::elf::Image;
use super::memory::Memory;
use crate::managers::maps::Mapping;

/// More frames are not shown.
pub(super) const FRAMES_MAX: usize = 128;

/// A function that has been called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) address: u64,
    /// `None`: no symbol has this address.
    pub(super) function: Option<String>,
    pub(super) offset: u64,
    /// The program or library; empty: no file.
    pub(super) image: String,
    pub(super) line: Option<(String, u32)>,
}

/// The files of a process, each read once.
#[derive(Debug)]
pub(super) struct Images<'p> {
    pid: i32,
    memory: &'p Memory,
    maps: &'p [Mapping],
    /// By the start of the mapping that has code.
    read: BTreeMap<u64, Option<Image>>,
}

impl<'p> Images<'p> {
    pub(super) const fn new(pid: i32, memory: &'p Memory, maps: &'p [Mapping]) -> Self {
        Self {
            pid,
            memory,
            maps,
            read: BTreeMap::new(),
        }
    }

    fn at(&mut self, address: u64) -> Option<&Image> {
        let mapping = self
            .maps
            .iter()
            .find(|one| one.is_code && (one.start..one.end).contains(&address))?;
        let (pid, memory, maps) = (self.pid, self.memory, self.maps);
        self.read
            .entry(mapping.start)
            .or_insert_with(|| Image::at(pid, memory, maps, address).ok())
            .as_ref()
    }
}

/// The frames of a stack, the innermost first.
#[cfg(target_arch = "x86_64")]
pub(super) fn frames(images: &mut Images<'_>, stack: &Stack) -> Vec<Frame> {
    let mut unwinder = UnwinderX86_64::<Vec<u8>>::new();
    let mut cache = CacheX86_64::<_>::new();
    let mut known = Vec::new();
    let mut addresses: Vec<(u64, u64)> = Vec::new();
    let start = stack.registers.sp;
    let mut read = |address: u64| {
        let at = usize::try_from(address.wrapping_sub(start)).map_err(|_| ())?;
        let bytes = stack
            .bytes
            .get(at..at.checked_add(8).ok_or(())?)
            .ok_or(())?;
        let bytes: [u8; 8] = bytes.try_into().map_err(|_| ())?;
        Ok(u64::from_ne_bytes(bytes))
    };
    let mut registers = UnwindRegsX86_64::new(stack.registers.ip, start, stack.registers.bp);
    let mut address = framehop::FrameAddress::from_instruction_pointer(stack.registers.ip);
    while addresses.len() < FRAMES_MAX {
        let look_up = address.address_for_lookup();
        addresses.push((address.address(), look_up));
        // Only files with a function on the stack are read.
        if let Some(image) = images.at(look_up) {
            if !known.contains(&image.range.start) {
                known.push(image.range.start);
                unwinder.add_module(module(image));
            }
        }
        match unwinder.unwind_frame(address, &mut registers, &mut cache, &mut read) {
            Ok(Some(caller)) => match framehop::FrameAddress::from_return_address(caller) {
                Some(caller) => address = caller,
                None => break,
            },
            Ok(None) | Err(_) => break,
        }
    }
    let named = addresses.into_iter();
    named
        .map(|(address, look_up)| named_frame(images, address, look_up))
        .collect()
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn frames(_: &mut Images<'_>, _: &Stack) -> Vec<Frame> {
    Vec::new()
}

#[cfg(target_arch = "x86_64")]
fn module(image: &Image) -> Module<Vec<u8>> {
    let section = |name| match image.section(name) {
        Some((range, bytes)) => (Some(range), Some(bytes)),
        None => (None, None),
    };
    let (text_svma, text) = section(".text");
    let (eh_frame_svma, eh_frame) = section(".eh_frame");
    let (eh_frame_hdr_svma, eh_frame_hdr) = section(".eh_frame_hdr");
    let info = ExplicitModuleSectionInfo {
        base_svma: 0,
        text_svma,
        text,
        got_svma: image.section(".got").map(|(range, _)| range),
        eh_frame_svma,
        eh_frame,
        eh_frame_hdr_svma,
        eh_frame_hdr,
        debug_frame: image.section(".debug_frame").map(|(_, bytes)| bytes),
        ..ExplicitModuleSectionInfo::default()
    };
    Module::new(image.name.clone(), image.range.clone(), image.bias, info)
}

fn named_frame(images: &mut Images<'_>, address: u64, look_up: u64) -> Frame {
    let Some(image) = images.at(look_up) else {
        return Frame {
            address,
            function: None,
            offset: 0,
            image: String::new(),
            line: None,
        };
    };
    let function = image.function(look_up);
    Frame {
        address,
        offset: function.as_ref().map_or(0, |(_, offset)| *offset),
        function: function.map(|(name, _)| name),
        image: image.name.clone(),
        line: image.line(look_up),
    }
}
