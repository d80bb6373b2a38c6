//! The plot of a run, as SVG.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::peer::Peer;
use crate::results::{CaseResults, Measured, Results};
use crate::table::{CURVES, number, points};

const WIDTH: u32 = 1120;
const HEAD: u32 = 74;
const ROW: u32 = 300;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A panel: bars of one case, or curves of one scenario.
#[derive(Debug)]
enum Panel<'a> {
    Bars {
        title: String,
        unit: &'static str,
        bars: Vec<(Peer, f64)>,
    },
    Curves {
        title: String,
        axis: &'static str,
        cases: Vec<&'a CaseResults>,
    },
}

/// The text of the SVG.
pub(crate) fn draw(results: &Results) -> Result<String, String> {
    let panels = panels(results);
    let rows = panels.len().div_ceil(2).max(1) as u32;
    let mut text = String::new();
    {
        let area =
            SVGBackend::with_string(&mut text, (WIDTH, HEAD + rows * ROW)).into_drawing_area();
        draw_on(&area, results, &panels).map_err(|error| format!("plot: {error}"))?;
        area.present().map_err(|error| format!("plot: {error}"))?;
    }
    Ok(text)
}

fn panels(results: &Results) -> Vec<Panel<'_>> {
    let mut panels = Vec::new();
    let case = |id: &str| results.cases.iter().find(|case| case.id == id);
    let bars = |case: &CaseResults, of: fn(&Measured) -> f64| {
        let bars = case
            .peers
            .iter()
            .map(|measured| (measured.peer, of(measured)));
        bars.filter(|(_, value)| *value > 0.0).collect::<Vec<_>>()
    };
    for (id, title) in [
        ("small", "small, new connection each"),
        ("kept", "small, keep-alive"),
    ] {
        if let Some(case) = case(id) {
            panels.push(Panel::Bars {
                title: format!("{title}: requests per second"),
                unit: "/s",
                bars: bars(case, |measured| measured.median.rate),
            });
            panels.push(Panel::Bars {
                title: format!("{title}: server CPU per request"),
                unit: " us",
                bars: bars(case, |measured| measured.median.cpu_us),
            });
        }
    }
    for (scenario, unit, _) in CURVES {
        let cases: Vec<&CaseResults> = results
            .cases
            .iter()
            .filter(|case| case.scenario == scenario)
            .collect();
        if cases.len() > 1 {
            let axis = match scenario {
                "params" => "parameters",
                "response" | "body" => "bytes",
                "workers" => "workers (64 clients)",
                _ => "clients (2 workers)",
            };
            let title = format!(
                "server CPU per request by {}",
                unit.trim_start_matches("KiB of ")
            );
            panels.push(Panel::Curves { title, axis, cases });
        }
    }
    if let Some(case) = case("reload") {
        let bars = bars(case, |measured| {
            measured
                .rounds
                .iter()
                .map(|round| round.silence_us)
                .fold(0.0, f64::max)
                / 1e3
        });
        panels.push(Panel::Bars {
            title: "longest silence while reloaded".to_owned(),
            unit: " ms",
            bars,
        });
    }
    panels
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

fn draw_on(area: &Area<'_>, results: &Results, panels: &[Panel<'_>]) -> Drawn {
    area.fill(&WHITE)?;
    let (head, rest) = area.split_vertically(HEAD);
    let line = |text: &str, size: u32, y: i32| {
        head.draw_text(
            text,
            &("sans-serif", size).into_font().color(&BLACK),
            (16, y),
        )
    };
    line("fcgipm beside its peers", 20, 8)?;
    line(&results.machine.line(), 12, 34)?;
    line(&results.machine.versions_line(), 11, 52)?;
    let rows = panels.len().div_ceil(2).max(1);
    for (panel, area) in panels.iter().zip(rest.split_evenly((rows, 2))) {
        let area = area.margin(8, 8, 12, 12);
        match panel {
            Panel::Bars { title, unit, bars } => draw_bars(&area, title, unit, bars)?,
            Panel::Curves { title, axis, cases } => draw_curves(&area, title, axis, cases)?,
        }
    }
    Ok(())
}

fn draw_bars(area: &Area<'_>, title: &str, unit: &str, bars: &[(Peer, f64)]) -> Drawn {
    const LABEL: i32 = 205;
    let font = |size: u32| ("sans-serif", size).into_font().color(&BLACK);
    area.draw_text(title, &font(14), (0, 0))?;
    let (width, height) = area.dim_in_pixel();
    let most = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let step = (height as i32 - 26) / bars.len().max(1) as i32;
    for (position, (peer, value)) in bars.iter().enumerate() {
        let top = 26 + step * position as i32;
        let length = ((width as i32 - LABEL - 70) as f64 * value / most) as i32;
        let bottom = top + (step - 6).min(24);
        let middle = (top + bottom) / 2;
        let right = font(11).pos(Pos::new(HPos::Right, VPos::Center));
        area.draw_text(peer.title(), &right, (LABEL - 6, middle))?;
        area.draw(&Rectangle::new(
            [(LABEL, top), (LABEL + length.max(1), bottom)],
            colour(*peer).filled(),
        ))?;
        let left = font(11).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw_text(
            &format!("{}{unit}", number(*value)),
            &left,
            (LABEL + length + 5, middle),
        )?;
    }
    Ok(())
}

fn draw_curves(area: &Area<'_>, title: &str, axis: &str, cases: &[&CaseResults]) -> Drawn {
    let Some(first) = cases.first() else {
        return Ok(());
    };
    let curves: Vec<(Peer, Vec<(f64, f64)>)> = first
        .peers
        .iter()
        .map(|peer| (peer.peer, points(cases, peer.peer)))
        .collect();
    let all = || curves.iter().flat_map(|(_, points)| points);
    let least = |of: fn(&(f64, f64)) -> f64| all().map(of).fold(f64::INFINITY, f64::min);
    let most = |of: fn(&(f64, f64)) -> f64| all().map(of).fold(0.0, f64::max);
    if all().next().is_none() {
        return Ok(());
    }
    let (left, right) = (least(|point| point.0), most(|point| point.0));
    let (low, high) = (least(|point| point.1), most(|point| point.1));
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 14).into_font().color(&BLACK))
        .x_label_area_size(34)
        .y_label_area_size(58)
        .margin_right(8)
        .build_cartesian_2d(
            (left..right * 1.05).log_scale(),
            (low * 0.7..high * 1.4).log_scale(),
        )?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(axis)
        .y_desc("microseconds")
        .x_label_formatter(&|x| short(*x))
        .y_label_formatter(&|y| short(*y))
        .label_style(("sans-serif", 11))
        .axis_desc_style(("sans-serif", 11))
        .draw()?;
    for (peer, points) in &curves {
        let line = colour(*peer);
        chart
            .draw_series(
                LineSeries::new(points.iter().copied(), line.stroke_width(2)).point_size(3),
            )?
            .label(peer.title())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], line.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 10))
        .background_style(WHITE.mix(0.7))
        .draw()
}

/// 1500 as 1.5k.
fn short(value: f64) -> String {
    let (value, suffix) = match value {
        value if value >= 1e6 => (value / 1e6, "M"),
        value if value >= 1e3 => (value / 1e3, "k"),
        value => (value, ""),
    };
    let text = format!("{value:.1}");
    format!("{}{suffix}", text.strip_suffix(".0").unwrap_or(&text))
}

/// Each language has a hue, dark for fcgipm and light for the originals.
const fn colour(peer: Peer) -> RGBColor {
    match peer {
        Peer::Floor => RGBColor(120, 120, 120),
        Peer::FloorPerl => RGBColor(176, 170, 160),
        Peer::Libfcgi => RGBColor(158, 196, 232),
        Peer::Dropin => RGBColor(64, 132, 196),
        Peer::Fcgipm => RGBColor(16, 72, 140),
        Peer::FcgiEnv => RGBColor(244, 190, 130),
        Peer::CompatEnv => RGBColor(204, 92, 16),
        Peer::FcgiHash => RGBColor(238, 214, 160),
        Peer::CompatHash => RGBColor(168, 110, 24),
        Peer::PhpFpm => RGBColor(158, 134, 196),
    }
}
