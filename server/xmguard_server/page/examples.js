// Questions to start from. Places and numbers are invented.

export const EXAMPLES = [
  {
    title: "Two notices that disagree",
    question: "At what time does the Tarn museum close on Fridays?",
    sources: [
      { name: "leaflet", language: "en", text: "Opening hours for visitors: on Fridays the Tarn museum closes at 17:00." },
      { name: "door sign", language: "en", text: "A sign at the door says that the Tarn museum closes at 20:30 on Fridays." },
    ],
  },
  {
    title: "Two that agree",
    question: "How long is the Ellbach bridge?",
    sources: [
      { name: "guidebook", language: "en", text: "The Ellbach bridge is 240 metres long and carries a single railway track." },
      { name: "plaque", language: "en", text: "Built of local granite, the Ellbach bridge has a length of 240 metres." },
    ],
  },
  {
    title: "English and Spanish",
    question: "Who is the director of the Sorrel theatre?",
    sources: [
      { name: "theatre website", language: "en", text: "The director of the Sorrel theatre is Ines Aldana, who has worked there for years." },
      { name: "local paper", language: "es", text: "La directora del teatro de Sorrel es Marta Quiroga, según anunció ayer el ayuntamiento." },
    ],
  },
];
