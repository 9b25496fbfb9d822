//! A panel without pixels: it takes a tray icon in, reads it, and presses the buttons of its menu.

use super::until;
use std::{collections::HashMap, sync::mpsc};
use zbus::{
    blocking::{Connection, Proxy, connection, proxy},
    proxy::CacheProperties,
    zvariant::{OwnedValue, Structure, Value},
};

const WATCHER: &str = "org.kde.StatusNotifierWatcher";

struct Watcher(mpsc::Sender<(String, String)>);

#[zbus::interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    fn register_status_notifier_item(&self, service: &str, #[zbus(header)] header: zbus::message::Header<'_>) {
        let sender = header.sender().map(ToString::to_string).unwrap_or_default();
        let (name, path) = if service.starts_with('/') { (sender, service) } else { (service.to_owned(), "/StatusNotifierItem") };
        let _ = self.0.send((name, path.to_owned()));
    }

    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn protocol_version(&self) -> i32 {
        0
    }
}

/// The panel.
pub(crate) struct TrayHost {
    bus: Connection,
    items: mpsc::Receiver<(String, String)>,
}

/// An icon in it.
pub(crate) struct TrayItem {
    item: Proxy<'static>,
    menu: Proxy<'static>,
}

/// A row of a menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MenuRow {
    pub(crate) id: i32,
    pub(crate) label: String,
    pub(crate) enabled: bool,
}

impl TrayHost {
    pub(crate) fn start(bus_address: &str) -> TrayHost {
        let (sender, items) = mpsc::channel();
        let builder = connection::Builder::address(bus_address).unwrap();
        let bus = builder.serve_at("/StatusNotifierWatcher", Watcher(sender)).unwrap().name(WATCHER).unwrap().build().unwrap();
        TrayHost { bus, items }
    }

    /// Waits for a program to put its icon here.
    pub(crate) fn item(&self) -> TrayItem {
        let (name, path) = until("an icon comes to the tray", || self.items.try_recv().ok());
        // What it offers is not always announced as changed.
        let open = |path: String, interface: &'static str| -> Proxy<'static> {
            let builder = proxy::Builder::new(&self.bus).destination(name.clone()).unwrap().path(path).unwrap();
            builder.interface(interface).unwrap().cache_properties(CacheProperties::No).build().unwrap()
        };
        let item = open(path, "org.kde.StatusNotifierItem");
        let menu: zbus::zvariant::OwnedObjectPath = item.get_property("Menu").unwrap();
        TrayItem { menu: open(menu.to_string(), "com.canonical.dbusmenu"), item }
    }
}

impl TrayItem {
    /// The text beside the icon.
    pub(crate) fn label(&self) -> String {
        self.item.get_property("XAyatanaLabel").unwrap()
    }

    /// The file of the icon's picture.
    pub(crate) fn picture(&self) -> String {
        self.item.get_property("IconName").unwrap()
    }

    /// The rows of the menu, lines between them left out.
    pub(crate) fn rows(&self) -> Vec<MenuRow> {
        type Node = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);
        let asked = (0, -1, Vec::<&str>::new());
        let (_, (_, _, children)): (u32, Node) = self.menu.call("GetLayout", &asked).unwrap();
        children.into_iter().filter_map(row).collect()
    }

    /// The row that begins so.
    pub(crate) fn row(&self, begins: &str) -> Option<MenuRow> {
        self.rows().into_iter().find(|row| row.label.starts_with(begins))
    }

    /// Presses a button of the menu.
    pub(crate) fn press(&self, label: &str) {
        let row = self.row(label).unwrap_or_else(|| panic!("no {label:?} in {:?}", self.rows()));
        assert!(row.enabled, "{label} cannot be pressed");
        self.menu.call::<_, _, ()>("Event", &(row.id, "clicked", Value::from(0), 0u32)).unwrap();
    }
}

fn row(node: OwnedValue) -> Option<MenuRow> {
    let node = Structure::try_from(node).unwrap();
    let [Value::I32(id), Value::Dict(properties), _] = node.fields() else { panic!("not a row: {node:?}") };
    let label: Option<String> = properties.get(&"label").unwrap();
    let enabled: Option<bool> = properties.get(&"enabled").unwrap();
    // GTK doubles what would mark a key.
    Some(MenuRow { id: *id, label: label?.replace("__", "_"), enabled: enabled.unwrap_or(true) })
}
