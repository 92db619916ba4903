/** Characters that Inter lacks and a box without a desktop has no font for; loaded in slices. */
import '@fontsource-variable/noto-sans-tc/index.css';
