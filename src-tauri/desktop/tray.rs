//! The tray icon and its menu, changed in place.
//!
//! On Linux a tray's menu cannot be replaced, clicks on the icon are the panel's, there is no tooltip, and every new icon is a file:
//! what did not change is not set again.

use crate::{
    face::{Face, Mood, Row},
    picture,
};
use std::path::Path;
use tauri::{
    AppHandle, Wry,
    image::Image,
    include_image,
    menu::{IsMenuItem, Menu, MenuItem, PredefinedMenuItem},
    tray::{MouseButton, MouseButtonState, TrayIcon, TrayIconBuilder, TrayIconEvent},
};

/// The menu's buttons.
pub(crate) const OPEN: &str = "open";
pub(crate) const QUIT: &str = "quit";

/// The icon in the tray. All of it is used on the main thread only.
pub(crate) struct Tray {
    icon: TrayIcon,
    menu: Menu<Wry>,
    rows: Vec<MenuRow>,
    shown: Face,
}

/// A row that stands in the menu.
enum MenuRow {
    Text(MenuItem<Wry>),
    Line(PredefinedMenuItem<Wry>),
}

impl Tray {
    /// Puts the icon into the tray. `pictures` is a folder for its picture files.
    pub(crate) fn new(app: &AppHandle, pictures: &Path, pressed: fn(&AppHandle, &str)) -> tauri::Result<Tray> {
        let menu = Menu::with_items(
            app,
            &[
                &MenuItem::with_id(app, OPEN, "Open dashboard", true, None::<&str>)?,
                &MenuItem::with_id(app, QUIT, "Quit", true, None::<&str>)?,
            ],
        )?;
        let face = Face::starting();
        let icon = TrayIconBuilder::with_id("tollbar")
            .menu(&menu)
            .show_menu_on_left_click(cfg!(target_os = "macos"))
            .icon(image(&face))
            .title(&face.title)
            .tooltip(&face.tooltip)
            .temp_dir_path(pictures)
            .on_menu_event(move |app, event| pressed(app, event.id().as_ref()))
            .on_tray_icon_event(move |icon, event| {
                if let TrayIconEvent::Click { button: MouseButton::Left, button_state: MouseButtonState::Up, .. } = event {
                    pressed(icon.app_handle(), OPEN);
                }
            })
            .build(app)?;
        let mut tray = Tray { icon, menu, rows: Vec::new(), shown: face.clone() };
        tray.show_rows(&face.rows)?;
        Ok(tray)
    }

    /// Shows that; sets only what differs from what is shown.
    pub(crate) fn show(&mut self, face: Face) -> tauri::Result<()> {
        if face.title != self.shown.title {
            self.icon.set_title(Some(&face.title))?;
        }
        if face.tooltip != self.shown.tooltip {
            self.icon.set_tooltip(Some(&face.tooltip))?;
        }
        if (face.mood, &face.amount) != (self.shown.mood, &self.shown.amount) {
            self.icon.set_icon(Some(image(&face)))?;
        }
        if face.rows != self.shown.rows {
            self.show_rows(&face.rows)?;
        }
        self.shown = face;
        Ok(())
    }

    /// Texts are changed in place. From the first row of another kind on, rows are taken out and put in anew.
    fn show_rows(&mut self, rows: &[Row]) -> tauri::Result<()> {
        let alike =
            |(stands, row): &(&MenuRow, &Row)| matches!((stands, row), (MenuRow::Text(_), Row::Text(_)) | (MenuRow::Line(_), Row::Line));
        let kept = self.rows.iter().zip(rows).take_while(alike).count();
        for (stands, row) in self.rows.iter().zip(rows).take(kept) {
            if let (MenuRow::Text(item), Row::Text(text)) = (stands, row) {
                item.set_text(escaped(text))?;
            }
        }
        for gone in self.rows.drain(kept..) {
            self.menu.remove(gone.item())?;
        }
        for row in &rows[kept..] {
            let app = self.icon.app_handle();
            let new = match row {
                Row::Text(text) => MenuRow::Text(MenuItem::new(app, escaped(text), false, None::<&str>)?),
                Row::Line => MenuRow::Line(PredefinedMenuItem::separator(app)?),
            };
            self.menu.insert(new.item(), self.rows.len())?;
            self.rows.push(new);
        }
        Ok(())
    }
}

impl MenuRow {
    fn item(&self) -> &dyn IsMenuItem<Wry> {
        match self {
            MenuRow::Text(item) => item,
            MenuRow::Line(item) => item,
        }
    }
}

/// In a menu `&` marks the key of a row; here it is part of a name.
fn escaped(text: &str) -> String {
    text.replace('&', "&&")
}

/// The amount where there is one, else the glyph of the mood.
///
/// Few panels of Linux show the text beside the icon, and none says whether it does. On macOS all do.
fn image(face: &Face) -> Image<'static> {
    const BAR: [[u8; 3]; 4] = [[0x0f, 0x9a, 0x8d], [0xd0, 0x7b, 0x10], [0xe5, 0x48, 0x4d], [0x8a, 0x91, 0x98]];
    let (glyph, bar) = match face.mood {
        Mood::Calm => (include_image!("icons/tray-calm@2x.png"), BAR[0]),
        Mood::Near => (include_image!("icons/tray-near@2x.png"), BAR[1]),
        Mood::Over => (include_image!("icons/tray-over@2x.png"), BAR[2]),
        Mood::Paused => (include_image!("icons/tray-paused@2x.png"), BAR[3]),
    };
    match &face.amount {
        Some(amount) if !cfg!(target_os = "macos") => {
            Image::new_owned(picture::draw(amount, bar), picture::EDGE_PX as u32, picture::EDGE_PX as u32)
        }
        Some(_) | None => glyph,
    }
}
