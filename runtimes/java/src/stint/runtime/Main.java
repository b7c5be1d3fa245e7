package stint.runtime;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * The loop of the Java runtime: polls the local runtime API, calls the handler, posts what came of it.
 * Runs on Java 8 and newer with nothing but the standard library: the start of an instance is paid in
 * classes that are loaded.
 */
public final class Main {
    private static final String HANDLER = "0";
    private static final int CANNOT_START = 1;

    private Main() {
    }

    public static void main(String[] arguments) throws Exception {
        Api api = new Api(System.getenv("FC_RUNTIME_API"));
        String handler = text(System.getenv("FC_FUNCTION_HANDLER"));
        String code = text(System.getenv("FC_FUNC_CODE_PATH"));
        ClassLoader loader;
        Target target;
        try {
            loader = Code.loader(code.isEmpty() ? "/code" : code);
            Thread.currentThread().setContextClassLoader(loader);
            target = Target.find(loader, handler);
        } catch (Throwable error) {
            api.notLoaded(Failure.describe(error, handler));
            System.exit(CANNOT_START);
            return;
        }
        while (true) {
            Api.Delivery delivery = api.next();
            serve(api, loader, target, delivery);
        }
    }

    private static void serve(Api api, ClassLoader loader, Target target, Api.Delivery delivery)
            throws IOException {
        Map<String, String> headers = delivery.headers;
        String requestId = text(headers.get("x-fc-request-id"));
        String hook = text(headers.get("x-stint-hook-handler"));
        Context.use(headers);
        byte[] result;
        try {
            if (HANDLER.equals(headers.get("x-fc-function-type"))) {
                result = target.handle(delivery.body);
            } else {
                Target.find(loader, hook).hook();
                result = new byte[0];
            }
        } catch (Throwable error) {
            String body = Failure.describe(error, "");
            flush();
            api.failed(requestId, body);
            return;
        }
        flush();
        api.returned(requestId, result);
    }

    /** What was written before the answer belongs to this request. */
    private static void flush() {
        System.out.flush();
        System.err.flush();
    }

    static String text(String value) {
        return value == null ? "" : value;
    }

    static byte[] utf8(String value) {
        return value.getBytes(StandardCharsets.UTF_8);
    }
}
