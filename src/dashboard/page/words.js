// What the page says, in the reader's language.

import { language } from "./choices.js";
import en from "./words/en.js";
import ru from "./words/ru.js";

const WORDS = { ru, en };

/** The words of the language chosen; a component that reads them follows the choice. */
export const words = () => WORDS[language.value];
