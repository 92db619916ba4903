import type { Messages } from './index';

export const de: Messages = {
  'page.title': 'Luftqualität in {place}',
  'map.label': 'Karte der Messstellen',
  'map.zoomIn': 'Vergrößern',
  'map.zoomOut': 'Verkleinern',
  'map.broken':
    'Dieser Browser kann die Karte nicht zeichnen (kein WebGL). Die Liste der Messstellen geht.',

  'bar.label': 'Ort und Einstellungen',
  'bar.median': 'Median aus {sensors}',
  'bar.noMedian': 'Keine aktuellen Daten',
  'bar.language': 'Sprache',
  'theme.auto': 'Farben: wie das Gerät',
  'theme.light': 'Farben: hell',
  'theme.dark': 'Farben: dunkel',
  'sensors.one': '{count} Messstelle',
  'sensors.other': '{count} Messstellen',

  'simulated.all': 'Simuliert',
  'simulated.some': 'Teils simuliert',
  'simulated.why': 'Diese Zahlen stammen aus einer Simulation, nicht aus der Luft.',

  'link.lost': 'Daten von {time}, Verbindung wird gesucht',
  'link.never': 'Der Knoten antwortet nicht. Neuer Versuch läuft.',

  'index.none': 'Kein Index',
  'index.noneWhy': 'In der letzten Messung zählt nichts zum Index.',
  'index.what': 'Index der letzten Messung',
  'index.whatLong':
    'Jede Zahl ist der Index der letzten Messung einer Messstelle ({standard}), kein Mittel über Stunden.',

  'panel.label': 'Messstelle',
  'panel.close': 'Schließen',
  'panel.dominant': 'Höchster Wert: {quantity}',
  'panel.measured': 'gemessen {age}',
  'panel.silent': 'Keine Daten seit {time}',
  'panel.never': 'Noch keine Messung',
  'panel.doubtful': 'Nicht verlässlich',
  'panel.flagged': 'Warum nicht verlässlich: {reasons}. Zählt in keinem Mittel mit.',
  'panel.values': 'Letzte Werte',
  'panel.subIndex': 'Index {index}, {word}',
  'panel.unknown':
    'Dieser Knoten hat keine Messstelle „{id}“. Bitte den Link prüfen oder eine auf der Karte wählen.',
  'panel.unreachable':
    'Die Werte sind gerade nicht lesbar. Sie folgen, sobald der Knoten antwortet.',

  'list.open': 'Liste der Messstellen',
  'list.title': 'Messstellen',
  'list.filter': 'Messstelle suchen',
  'list.name': 'Messstelle',
  'list.index': 'Index',
  'list.category': 'Kategorie',
  'list.age': 'Alter',
  'list.empty': 'Keine Messstelle heißt so.',
  'list.more': 'Die ersten {shown} von {sensors}. Für weitere einen Namen eingeben.',

  'legend.title': 'Luftqualitätsindex',
  'legend.beyond': '{low} und mehr',
  'legend.flagged': 'Nicht verlässlich: geprüft und zweifelhaft',
  'legend.stale': 'Keine Daten seit mindestens 15 Minuten, mit Alter',
  'legend.cluster': 'Mehrere Messstellen: innen das Mittel, als Ring der schlechteste Wert',
  'legend.source': 'Quelle: {publisher}, {document}',

  'flag.range': 'außerhalb des physikalisch Möglichen',
  'flag.stuck': 'der Wert bewegt sich nicht mehr',
  'flag.spike': 'ein plötzlicher einzelner Ausschlag',
  'flag.neighbours': 'weicht von den Nachbarn ab',
  'flag.channels': 'die beiden Messkanäle widersprechen sich',
  'flag.humidity': 'zu feucht für diesen Sensor',
  'flag.clock': 'die Uhr ist nicht verlässlich',

  'quantity.pm1': 'PM1',
  'quantity.pm25': 'PM2,5',
  'quantity.pm10': 'PM10',
  'quantity.o3': 'Ozon (O₃)',
  'quantity.no2': 'Stickstoffdioxid (NO₂)',
  'quantity.so2': 'Schwefeldioxid (SO₂)',
  'quantity.co': 'Kohlenmonoxid (CO)',
  'quantity.temperature': 'Temperatur',
  'quantity.humidity': 'Luftfeuchte',
  'quantity.pressure': 'Luftdruck',

  'band.us-epa-2024.1': 'Gut',
  'band.us-epa-2024.2': 'Mäßig',
  'band.us-epa-2024.3': 'Ungesund für empfindliche Gruppen',
  'band.us-epa-2024.4': 'Ungesund',
  'band.us-epa-2024.5': 'Sehr ungesund',
  'band.us-epa-2024.6': 'Gefährlich',
};
