//! The programs and libraries that a process has mapped: their symbols, and how to walk over their frames.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;

use object::{Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _, SymbolKind};

use super::memory::{Memory, printable};
use crate::managers::maps::Mapping;

/// Larger files are not read.
const FILE_MAX: u64 = 512 * 1024 * 1024;
/// The pages of the kernel that every process has.
const VDSO: &str = "[vdso]";
const VDSO_MAX: usize = 64 * 1024;

/// A file that is mapped.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) name: String,
    /// All that is mapped of it.
    pub(super) range: Range<u64>,
    /// What to add to an address of the file.
    pub(super) bias: u64,
    bytes: Vec<u8>,
    symbols: OnceCell<Vec<Symbol>>,
}

#[derive(Debug)]
struct Symbol {
    address: u64,
    size: u64,
    name: String,
}

/// A section, with the addresses in the file.
pub(super) type Section = (Range<u64>, Vec<u8>);

impl Image {
    /// The image whose code is at this address.
    pub(super) fn at(
        pid: i32,
        memory: &Memory,
        maps: &[Mapping],
        address: u64,
    ) -> Result<Self, String> {
        let mapping = maps
            .iter()
            .find(|one| one.is_code && (one.start..one.end).contains(&address))
            .ok_or("no code is mapped there")?;
        Self::of(pid, memory, maps, mapping)
    }

    pub(super) fn of(
        pid: i32,
        memory: &Memory,
        maps: &[Mapping],
        mapping: &Mapping,
    ) -> Result<Self, String> {
        let bytes = if mapping.name == VDSO {
            let length = mapping.end.saturating_sub(mapping.start) as usize;
            memory.read_up_to(mapping.start, length.min(VDSO_MAX))
        } else if mapping.inode == 0 {
            return Err("no file is mapped there".to_owned());
        } else {
            contents(pid, mapping)?
        };
        let file = parse(&bytes)?;
        // The segment with the first byte of the mapping, which begins with a page.
        let segment = file.segments().find_map(|segment| {
            let (offset, size) = segment.file_range();
            let is_it =
                (offset & !0xfff) <= mapping.offset && mapping.offset < offset.checked_add(size)?;
            is_it.then(|| segment.address().wrapping_sub(offset))
        });
        let delta = segment.ok_or("no segment of the file is mapped there")?;
        let bias = mapping
            .start
            .wrapping_sub(mapping.offset.wrapping_add(delta));
        let same = |one: &&Mapping| one.name == mapping.name && one.inode == mapping.inode;
        let all = maps.iter().filter(same);
        let range = all.fold(mapping.start..mapping.end, |range, one| {
            range.start.min(one.start)..range.end.max(one.end)
        });
        let name = mapping.path().rsplit('/').next().unwrap_or_default();
        let name = printable(name.as_bytes());
        Ok(Self {
            name,
            range,
            bias,
            bytes,
            symbols: OnceCell::new(),
        })
    }

    /// A section, if the file has it.
    pub(super) fn section(&self, name: &str) -> Option<Section> {
        let file = parse(&self.bytes).ok()?;
        let section = file.section_by_name(name)?;
        let data = section.uncompressed_data().ok()?.into_owned();
        let end = section.address().checked_add(section.size())?;
        Some((section.address()..end, data))
    }

    /// The address of a symbol in memory.
    pub(super) fn address_of(&self, name: &str) -> Option<u64> {
        let file = parse(&self.bytes).ok()?;
        let symbol = file
            .dynamic_symbols()
            .find(|symbol| symbol.name() == Ok(name) && symbol.is_definition())?;
        Some(self.bias.wrapping_add(symbol.address()))
    }

    /// The function with this address of memory, and the distance from its beginning.
    pub(super) fn function(&self, address: u64) -> Option<(String, u64)> {
        let at = address.wrapping_sub(self.bias);
        let symbols = self.symbols.get_or_init(|| symbols(&self.bytes));
        let next = symbols.partition_point(|symbol| symbol.address <= at);
        let symbol = symbols.get(next.checked_sub(1)?)?;
        let distance = at - symbol.address;
        // Those of hand-written code may have no size.
        let is_inside = distance < symbol.size || (symbol.size == 0 && distance < 4096);
        is_inside.then(|| (symbol.name.clone(), distance))
    }

    /// The file and line of an address of memory, where the file has debug information.
    pub(super) fn line(&self, address: u64) -> Option<(String, u32)> {
        let file = parse(&self.bytes).ok()?;
        file.section_by_name(".debug_line")?;
        let sections = addr2line::gimli::DwarfSections::load(|id| {
            let section = file.section_by_name(id.name());
            let data = section.and_then(|section| section.uncompressed_data().ok());
            Ok::<_, addr2line::gimli::Error>(data.unwrap_or_default())
        })
        .ok()?;
        let dwarf = sections.borrow(|data| {
            addr2line::gimli::EndianSlice::new(data, addr2line::gimli::LittleEndian)
        });
        let context = addr2line::Context::from_dwarf(dwarf).ok()?;
        let location = context
            .find_location(address.wrapping_sub(self.bias))
            .ok()??;
        Some((printable(location.file?.as_bytes()), location.line?))
    }
}

fn parse(bytes: &[u8]) -> Result<object::File<'_>, String> {
    object::File::parse(bytes).map_err(|error| error.to_string())
}

/// The file of a mapping, even if it was deleted, or is in a container.
fn contents(pid: i32, mapping: &Mapping) -> Result<Vec<u8>, String> {
    let Mapping { start, end, .. } = mapping;
    // The first needs a privilege.
    let mapped = File::open(format!("/proc/{pid}/map_files/{start:x}-{end:x}"));
    let file = match mapped {
        Ok(file) => file,
        Err(_) => {
            let path = format!("/proc/{pid}/root{}", mapping.name);
            open_regular(&path, mapping.inode).map_err(|why| format!("{}: {why}", mapping.name))?
        }
    };
    let mut bytes = Vec::new();
    let mut limited = file.take(FILE_MAX);
    limited
        .read_to_end(&mut bytes)
        .map_err(|error| format!("{}: {error}", mapping.name))?;
    Ok(bytes)
}

/// A regular file with this inode number. The process chooses what is at its path: it may be a FIFO.
fn open_regular(path: &str, inode: u64) -> Result<File, String> {
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
    let file = File::options()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
        .open(path)
        .map_err(|error| error.to_string())?;
    let found = file.metadata().map_err(|error| error.to_string())?;
    match found.is_file() && found.ino() == inode {
        true => Ok(file),
        false => Err("another file has this name by now".to_owned()),
    }
}

fn symbols(bytes: &[u8]) -> Vec<Symbol> {
    let Ok(file) = parse(bytes) else {
        return Vec::new();
    };
    let mut found = BTreeMap::new();
    for symbol in file.symbols().chain(file.dynamic_symbols()) {
        let is_code = matches!(symbol.kind(), SymbolKind::Text) && symbol.is_definition();
        let Some(name) = symbol
            .name_bytes()
            .ok()
            .filter(|name| is_code && !name.is_empty())
        else {
            continue;
        };
        // Of several names, the one with a size, and the first one.
        let known: Option<&(u64, String)> = found.get(&symbol.address());
        if known.is_none_or(|(size, _)| *size == 0 && symbol.size() > 0) {
            found.insert(symbol.address(), (symbol.size(), demangled(name)));
        }
    }
    let symbols = found.into_iter();
    let symbols = symbols.map(|(address, (size, name))| Symbol {
        address,
        size,
        name,
    });
    symbols.collect()
}

fn demangled(name: &[u8]) -> String {
    const NAME_MAX: usize = 256;
    let text = String::from_utf8_lossy(&name[..name.len().min(NAME_MAX)]);
    match rustc_demangle::try_demangle(&text) {
        Ok(name) => printable(format!("{name:#}").as_bytes()),
        Err(_) => printable(text.as_bytes()),
    }
}
