//! The stack of Perl code, read from outside: the compiled part of the Perl binding publishes where perl
//! keeps it (bindings/perl/xs/stack.c). All of it is hostile: each read is bounded, and so is their number.

use std::collections::HashMap;

use super::elf::Image;
use super::memory::Memory;
use crate::managers::maps::Mapping;

/// The library that has the structure, and its symbol.
const LIBRARY: &str = "/FCGIPM/XS/XS.so";
const SYMBOL: &str = "fcgipm_perl_stack";
const MAGIC: &[u8; 16] = b"fcgipm perl\0\0\0\0\0";
const FORMAT: u64 = 1;

/// More frames are not shown.
pub(super) const FRAMES_MAX: usize = 64;
/// Stacks of contexts: signal handlers, DESTROY, sort and tie have one each.
const STACKS_MAX: usize = 64;
/// Contexts that are read: blocks and loops, too.
const CONTEXTS_MAX: usize = 2048;
/// How many are read at once, and their largest size.
const CHUNK: usize = 64;
const CONTEXT_SIZE_MAX: u64 = 1024;
/// Offsets within structures of perl are smaller.
const OFFSET_MAX: u64 = 4096;

macro_rules! layout {
    ($($field:ident),* $(,)?) => {
        /// The structure in the library, after its magic number.
        #[derive(Clone, Copy, Debug)]
        struct Layout { $($field: u64),* }

        impl Layout {
            const FIELDS: usize = [$(stringify!($field)),*].len();

            fn of(words: [u64; Self::FIELDS]) -> Self {
                let [$($field),*] = words;
                Self { $($field),* }
            }
        }
    };
}

layout! {
    format, length, curcop, curstackinfo, cop_line, cop_file, file_kind, si_cxix, si_cxstack, si_prev,
    context_size, kind, kind_mask, oldcop, bits, cv, is_sub, is_format, is_eval, require, any, u,
    cv_flags, is_named, cv_gv, cv_stash, gv_name, gv_stash, hek_length, hek_key, aux_kind, aux, max,
    name, name_count,
}

/// Perl code that is being executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) name: String,
    pub(super) file: String,
    pub(super) line: u32,
}

/// The stack, the innermost frame first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stack {
    pub(super) frames: Vec<Frame>,
    /// There are more.
    pub(super) is_cut: bool,
}

/// The perl of a process.
#[derive(Debug)]
pub(super) struct Perl<'p> {
    memory: &'p Memory,
    layout: Layout,
    names: HashMap<u64, String>,
}

/// Whether a process is perl, and can be read.
#[derive(Debug)]
pub(super) enum Found<'p> {
    NoPerl,
    /// It is perl, for all that can be seen.
    Unreadable(String),
    Readable(Box<Perl<'p>>),
}

/// Looks for perl in a process.
pub(super) fn find<'p>(pid: i32, memory: &'p Memory, maps: &[Mapping]) -> Found<'p> {
    let Some(mapping) = maps
        .iter()
        .find(|one| one.is_code && one.path().ends_with(LIBRARY))
    else {
        let is_perl = maps.iter().any(|one| {
            let base = one.name.rsplit('/').next().unwrap_or_default();
            base.starts_with("libperl.so") || base == "perl" || base.starts_with("perl5")
        });
        return match is_perl {
            true => Found::Unreadable(
                "the compiled part of the Perl binding, FCGIPM::XS, is not loaded".to_owned(),
            ),
            false => Found::NoPerl,
        };
    };
    match layout(pid, memory, maps, mapping) {
        Ok(layout) => Found::Readable(Box::new(Perl {
            memory,
            layout,
            names: HashMap::new(),
        })),
        Err(why) => Found::Unreadable(why),
    }
}

fn layout(
    pid: i32,
    memory: &Memory,
    maps: &[Mapping],
    mapping: &Mapping,
) -> Result<Layout, String> {
    let image = Image::of(pid, memory, maps, mapping)?;
    let address = image
        .address_of(SYMBOL)
        .ok_or("FCGIPM::XS is of a release that does not support this")?;
    let mut bytes = [0; 16 + 8 * Layout::FIELDS];
    memory
        .read(address, &mut bytes)
        .ok_or("the data of FCGIPM::XS cannot be read")?;
    let (magic, rest) = bytes.split_at(MAGIC.len());
    let mut words = [0; Layout::FIELDS];
    for (word, bytes) in words.iter_mut().zip(rest.chunks_exact(8)) {
        *word = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
    }
    let layout = Layout::of(words);
    let is_ours = magic == MAGIC && layout.format == FORMAT && layout.length == bytes.len() as u64;
    if !is_ours || !layout.is_possible() {
        return Err("FCGIPM::XS is of another release".to_owned());
    }
    Ok(layout)
}

impl Layout {
    fn is_possible(&self) -> bool {
        let offsets = [
            self.cop_line,
            self.cop_file,
            self.si_cxix,
            self.si_cxstack,
            self.si_prev,
            self.any,
            self.u,
            self.cv_flags,
            self.cv_gv,
            self.cv_stash,
            self.gv_name,
            self.gv_stash,
            self.hek_length,
            self.hek_key,
            self.aux,
            self.max,
            self.name,
            self.name_count,
        ];
        let in_context = [
            (self.kind, 1),
            (self.oldcop, 8),
            (self.bits, 2),
            (self.cv, 8),
        ];
        self.context_size <= CONTEXT_SIZE_MAX
            && offsets.iter().all(|offset| *offset < OFFSET_MAX)
            && in_context
                .iter()
                .all(|(offset, size)| *offset < OFFSET_MAX && offset + size <= self.context_size)
    }
}

impl Perl<'_> {
    /// The stack as it is now. `None`: no Perl code is being executed, or the memory makes no sense.
    pub(super) fn stack(&mut self) -> Option<Stack> {
        let layout = self.layout;
        let mut place = self.place(self.memory.u64(layout.curcop)?);
        let mut info = self.memory.u64(layout.curstackinfo)?;
        let mut stack = Stack::default();
        let mut contexts = 0;
        for _ in 0..STACKS_MAX {
            let count = self.memory.u32(at(info, layout.si_cxix)?)? as i32;
            let base = self.memory.u64(at(info, layout.si_cxstack)?)?;
            let mut left = usize::try_from(i64::from(count) + 1).unwrap_or(0);
            while left > 0 {
                let size = layout.context_size as usize;
                let number = left.min(CHUNK);
                left -= number;
                let mut bytes = vec![0; number * size];
                self.memory.read(
                    at(base, (left as u64).checked_mul(layout.context_size)?)?,
                    &mut bytes,
                )?;
                for context in bytes.rchunks_exact(size.max(1)) {
                    contexts += 1;
                    if contexts > CONTEXTS_MAX || stack.frames.len() >= FRAMES_MAX {
                        stack.is_cut = true;
                        return Some(stack);
                    }
                    let Some(name) = self.name_of(context) else {
                        continue;
                    };
                    stack.frames.push(frame(name, place));
                    place = self.place(word(context, layout.oldcop)?);
                }
            }
            info = self.memory.u64(at(info, layout.si_prev)?)?;
            if info == 0 {
                stack.frames.push(frame("main program".to_owned(), place));
                return Some(stack);
            }
        }
        stack.is_cut = true;
        Some(stack)
    }

    /// The name of what a context executes. `None`: a block or a loop.
    fn name_of(&mut self, context: &[u8]) -> Option<String> {
        let layout = self.layout;
        let kind = u64::from(*context.get(layout.kind as usize)?) & layout.kind_mask;
        if kind == layout.is_eval {
            let bits = context.get(layout.bits as usize..)?.get(..2)?;
            let bits = u16::from_ne_bytes(bits.try_into().ok()?);
            // CxOLD_OP_TYPE.
            let is_require = u64::from(bits >> 7) == layout.require;
            return Some(if is_require { "(require)" } else { "(eval)" }.to_owned());
        }
        if kind != layout.is_sub && kind != layout.is_format {
            return None;
        }
        let cv = word(context, layout.cv)?;
        if let Some(name) = self.names.get(&cv) {
            return Some(name.clone());
        }
        let name = self.sub(cv).unwrap_or_else(|| "(unknown sub)".to_owned());
        self.names.insert(cv, name.clone());
        Some(name)
    }

    fn sub(&self, cv: u64) -> Option<String> {
        let layout = &self.layout;
        let body = self.memory.u64(at(cv, layout.any)?)?;
        let flags = u64::from(self.memory.u32(at(body, layout.cv_flags)?)?);
        let glob = self.memory.u64(at(body, layout.cv_gv)?)?;
        let (name, stash) = if flags & layout.is_named != 0 {
            (
                self.key(glob)?,
                self.memory.u64(at(body, layout.cv_stash)?)?,
            )
        } else {
            let body = self.memory.u64(at(glob, layout.any)?)?;
            let name = self.memory.u64(at(body, layout.gv_name)?)?;
            (
                self.key(name)?,
                self.memory.u64(at(body, layout.gv_stash)?)?,
            )
        };
        let package = self.package(stash).unwrap_or_else(|| "?".to_owned());
        Some(format!("{package}::{name}"))
    }

    /// The name of a package.
    fn package(&self, stash: u64) -> Option<String> {
        let layout = &self.layout;
        let body = self.memory.u64(at(stash, layout.any)?)?;
        let aux = match layout.aux_kind {
            0 => at(body, layout.aux)?,
            _ => {
                let array = self.memory.u64(at(stash, layout.u)?)?;
                let max = self.memory.u64(at(body, layout.max)?)?;
                at(array, max.checked_add(1)?.checked_mul(8)?)?
            }
        };
        let name = self.memory.u64(at(aux, layout.name)?)?;
        let name = match self.memory.u32(at(aux, layout.name_count)?)? {
            0 => name,
            _ => self.memory.u64(name)?,
        };
        self.key(name)
    }

    /// The text of a HEK.
    fn key(&self, hek: u64) -> Option<String> {
        let length = self.memory.u32(at(hek, self.layout.hek_length)?)? as i32;
        let length = usize::try_from(length).ok().filter(|length| *length > 0)?;
        self.memory.text_of(at(hek, self.layout.hek_key)?, length)
    }

    /// The file and line of a COP.
    fn place(&self, cop: u64) -> Option<(String, u32)> {
        let layout = &self.layout;
        let line = self.memory.u32(at(cop, layout.cop_line)?)?;
        let file = self.memory.u64(at(cop, layout.cop_file)?)?;
        let file = match layout.file_kind {
            0 => self.memory.text(file)?,
            _ => {
                let body = self.memory.u64(at(file, layout.any)?)?;
                let name = self.key(self.memory.u64(at(body, layout.gv_name)?)?)?;
                name.strip_prefix("_<").map(str::to_owned).unwrap_or(name)
            }
        };
        Some((file, line))
    }
}

fn at(base: u64, offset: u64) -> Option<u64> {
    // A structure at 0 is none.
    (base != 0).then(|| base.checked_add(offset))?
}

fn word(bytes: &[u8], offset: u64) -> Option<u64> {
    let bytes = bytes.get(offset as usize..)?.get(..8)?;
    Some(u64::from_ne_bytes(bytes.try_into().ok()?))
}

fn frame(name: String, place: Option<(String, u32)>) -> Frame {
    let (file, line) = place.unwrap_or_else(|| ("(unknown file)".to_owned(), 0));
    Frame { name, file, line }
}
