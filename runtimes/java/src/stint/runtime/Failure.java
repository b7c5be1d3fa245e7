package stint.runtime;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** How a failure of user code looks on the wire (with {@code errorCause}), and in the log. */
final class Failure {
    private static final int FRAMES_MAX = 200;
    private static final int CAUSES_MAX = 20;
    private static final int MESSAGE_CHARS_MAX = 64 * 1024;

    private Failure() {
    }

    /** The error body; the trace goes to standard error. */
    static String describe(Throwable error, String spec) {
        try {
            error.printStackTrace();
            return Json.write(body(error, 0));
        } catch (Throwable broken) {
            // A getMessage of the user's that fails, or no memory left.
            return "{\"errorMessage\":\"the error cannot be described\",\"errorType\":\""
                + error.getClass().getName() + "\"}";
        }
    }

    private static Map<String, Object> body(Throwable error, int depth) {
        Map<String, Object> body = new LinkedHashMap<String, Object>();
        String message = Main.text(error.getMessage());
        if (message.length() > MESSAGE_CHARS_MAX) {
            message = message.substring(0, MESSAGE_CHARS_MAX);
        }
        body.put("errorMessage", message);
        body.put("errorType", kind(error));
        List<String> frames = new ArrayList<String>();
        for (StackTraceElement frame : error.getStackTrace()) {
            if (frames.size() == FRAMES_MAX) {
                break;
            }
            if (!isOurs(frame.getClassName())) {
                frames.add(frame.toString());
            }
        }
        body.put("stackTrace", frames);
        Throwable cause = error.getCause();
        if (cause != null && cause != error && depth < CAUSES_MAX) {
            body.put("errorCause", body(cause, depth + 1));
        }
        return body;
    }

    private static String kind(Throwable error) {
        String name = error.getClass().getName();
        return isOurs(name) ? error.getClass().getSimpleName() : name;
    }

    /** Our own frames and those of the reflection between us and the handler. */
    private static boolean isOurs(String name) {
        return name.startsWith("stint.runtime.") || name.startsWith("jdk.internal.reflect.")
            || name.startsWith("sun.reflect.") || name.startsWith("java.lang.reflect.");
    }
}
