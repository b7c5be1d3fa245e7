package stint.runtime;

import java.lang.reflect.Array;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * JSON to maps, lists, strings, numbers and booleans, and back; {@link Bind} goes on from there. A small
 * one of our own, because a library of ours could collide with the user's.
 */
final class Json {
    private static final int DEPTH_MAX = 500;

    private final String text;
    private int at;
    private int depth;

    private Json(String text) {
        this.text = text;
    }

    /** What the text says; it must be one value and nothing else. */
    static Object parse(String text) {
        Json json = new Json(text);
        json.space();
        Object value = json.value();
        json.space();
        if (json.at < text.length()) {
            throw json.bad("the end");
        }
        return value;
    }

    private Object value() {
        if (at >= text.length()) {
            throw bad("a value");
        }
        char next = text.charAt(at);
        switch (next) {
            case '{': return object();
            case '[': return array();
            case '"': return string();
            case 't': return word("true", Boolean.TRUE);
            case 'f': return word("false", Boolean.FALSE);
            case 'n': return word("null", null);
            default: return number();
        }
    }

    private Map<String, Object> object() {
        enter();
        Map<String, Object> map = new LinkedHashMap<String, Object>();
        if (!taken('}')) {
            do {
                space();
                String name = string();
                space();
                need(':');
                space();
                map.put(name, value());
                space();
            } while (taken(','));
            need('}');
        }
        depth--;
        return map;
    }

    private List<Object> array() {
        enter();
        List<Object> list = new ArrayList<Object>();
        if (!taken(']')) {
            do {
                space();
                list.add(value());
                space();
            } while (taken(','));
            need(']');
        }
        depth--;
        return list;
    }

    private void enter() {
        at++;
        depth++;
        if (depth > DEPTH_MAX) {
            throw bad("fewer levels");
        }
        space();
    }

    private String string() {
        need('"');
        StringBuilder out = new StringBuilder();
        while (true) {
            if (at >= text.length()) {
                throw bad("\"");
            }
            char next = text.charAt(at++);
            if (next == '"') {
                return out.toString();
            }
            if (next != '\\') {
                out.append(next);
                continue;
            }
            char escaped = at < text.length() ? text.charAt(at++) : ' ';
            switch (escaped) {
                case 'b': out.append('\b'); break;
                case 'f': out.append('\f'); break;
                case 'n': out.append('\n'); break;
                case 'r': out.append('\r'); break;
                case 't': out.append('\t'); break;
                case '"': case '\\': case '/': out.append(escaped); break;
                case 'u':
                    if (at + 4 > text.length()) {
                        throw bad("four hexadecimal digits");
                    }
                    out.append((char) Integer.parseInt(text.substring(at, at + 4), 16));
                    at += 4;
                    break;
                default: throw bad("an escape");
            }
        }
    }

    private Object number() {
        int from = at;
        while (at < text.length() && "+-.0123456789eE".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        String word = text.substring(from, at);
        try {
            if (word.indexOf('.') < 0 && word.indexOf('e') < 0 && word.indexOf('E') < 0) {
                BigInteger whole = new BigInteger(word);
                return whole.bitLength() < 64 ? (Object) whole.longValue() : whole;
            }
            return new BigDecimal(word).doubleValue();
        } catch (NumberFormatException none) {
            at = from;
            throw bad("a value");
        }
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at)) {
            throw bad("a value");
        }
        at += word.length();
        return value;
    }

    private void space() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private boolean taken(char wanted) {
        if (at < text.length() && text.charAt(at) == wanted) {
            at++;
            return true;
        }
        return false;
    }

    private void need(char wanted) {
        if (!taken(wanted)) {
            throw bad("'" + wanted + "'");
        }
    }

    private IllegalArgumentException bad(String wanted) {
        return new IllegalArgumentException("the event is not JSON: expected " + wanted + " at character " + at);
    }

    /** A value as JSON; beans by their getters and public fields. */
    static String write(Object value) {
        StringBuilder out = new StringBuilder();
        write(value, out, 0);
        return out.toString();
    }

    private static void write(Object value, StringBuilder out, int depth) {
        if (depth > DEPTH_MAX) {
            throw new IllegalArgumentException("the result has too many levels, or refers to itself");
        }
        if (value == null || value instanceof Boolean) {
            out.append(value);
        } else if (value instanceof Number) {
            number((Number) value, out);
        } else if (value instanceof CharSequence || value instanceof Character || value instanceof Enum) {
            quote(value.toString(), out);
        } else if (value instanceof Map) {
            fields((Map<?, ?>) value, out, depth);
        } else if (value instanceof Iterable) {
            String between = "[";
            for (Object item : (Iterable<?>) value) {
                out.append(between);
                write(item, out, depth + 1);
                between = ",";
            }
            out.append(between.equals("[") ? "[]" : "]");
        } else if (value.getClass().isArray()) {
            List<Object> items = new ArrayList<Object>();
            for (int n = 0; n < Array.getLength(value); n++) {
                items.add(Array.get(value, n));
            }
            write(items, out, depth);
        } else {
            fields(Bind.fields(value), out, depth);
        }
    }

    private static void number(Number value, StringBuilder out) {
        double as = value.doubleValue();
        boolean isFloat = value instanceof Double || value instanceof Float;
        out.append(isFloat && (Double.isNaN(as) || Double.isInfinite(as)) ? "null" : value.toString());
    }

    private static void fields(Map<?, ?> map, StringBuilder out, int depth) {
        out.append('{');
        String between = "";
        for (Map.Entry<?, ?> field : map.entrySet()) {
            out.append(between);
            quote(String.valueOf(field.getKey()), out);
            out.append(':');
            write(field.getValue(), out, depth + 1);
            between = ",";
        }
        out.append('}');
    }

    private static void quote(String text, StringBuilder out) {
        out.append('"');
        for (int n = 0; n < text.length(); n++) {
            char next = text.charAt(n);
            switch (next) {
                case '"': out.append("\\\""); break;
                case '\\': out.append("\\\\"); break;
                case '\n': out.append("\\n"); break;
                case '\r': out.append("\\r"); break;
                case '\t': out.append("\\t"); break;
                default:
                    // Half a pair has no form in UTF-8.
                    if (next < ' ' || Character.isSurrogate(next) && !paired(text, n)) {
                        out.append(String.format("\\u%04x", (int) next));
                    } else {
                        out.append(next);
                    }
            }
        }
        out.append('"');
    }

    private static boolean paired(String text, int at) {
        char here = text.charAt(at);
        if (Character.isHighSurrogate(here)) {
            return at + 1 < text.length() && Character.isLowSurrogate(text.charAt(at + 1));
        }
        return at > 0 && Character.isHighSurrogate(text.charAt(at - 1));
    }
}
