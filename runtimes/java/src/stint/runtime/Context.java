package stint.runtime;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.text.SimpleDateFormat;
import java.util.Collections;
import java.util.Date;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.TimeZone;

/**
 * The second argument of a handler. It is made for whatever interface the method asks for, and answers by
 * the names of its methods: those of {@code com.aliyun.fc.runtime.Context} and of what it returns.
 */
final class Context implements InvocationHandler {
    private static Map<String, String> current = new HashMap<String, String>();
    private static final Map<String, Integer> LEVELS = new HashMap<String, Integer>();
    private static final int LEVEL_LEAST;

    static {
        String[] names = {"trace", "debug", "info", "warn", "error", "fatal"};
        for (int n = 0; n < names.length; n++) {
            LEVELS.put(names[n], n);
        }
        Integer least = LEVELS.get(Main.text(System.getenv("ALIYUN_FC_LOG_LEVEL")).toLowerCase(Locale.ROOT));
        LEVEL_LEAST = least == null ? 0 : least;
    }

    private final Map<String, String> headers;

    private Context(Map<String, String> headers) {
        this.headers = headers;
    }

    /** What handlers are told from now on. */
    static void use(Map<String, String> headers) {
        current = headers;
    }

    /** Whether a parameter of this type gets the context. */
    static boolean is(Class<?> type) {
        return type.isInterface() && type.getSimpleName().endsWith("Context");
    }

    /** The context as something of this type; nothing for what is no interface. */
    static Object as(Class<?> type) {
        return as(type, new Context(current));
    }

    private static Object as(Class<?> type, Context context) {
        if (!type.isInterface()) {
            return null;
        }
        ClassLoader loader = type.getClassLoader();
        loader = loader == null ? Context.class.getClassLoader() : loader;
        return Proxy.newProxyInstance(loader, new Class<?>[] {type}, context);
    }

    @Override
    public Object invoke(Object proxy, Method method, Object[] arguments) {
        String name = method.getName();
        Class<?> type = method.getReturnType();
        if (LEVELS.containsKey(name) && arguments != null && arguments.length == 1) {
            log(name, String.valueOf(arguments[0]));
            return null;
        }
        if (name.equals("toString") && arguments == null) {
            return "Context{requestId=" + header("request-id") + "}";
        }
        if (name.equals("hashCode") && arguments == null) {
            return System.identityHashCode(proxy);
        }
        if (name.equals("equals") && arguments != null && arguments.length == 1) {
            return proxy == arguments[0];
        }
        if (type == Map.class) {
            return Collections.emptyMap();
        }
        if (type.isInterface()) {
            return as(type, this);
        }
        return plain(value(name), type);
    }

    /** Names are unique over all the interfaces. */
    private String value(String name) {
        switch (name) {
            case "getRequestId": return header("request-id");
            case "getAccessKeyId": return header("access-key-id");
            case "getAccessKeySecret": return header("access-key-secret");
            case "getSecurityToken": return header("security-token");
            case "getFunctionName": return header("function-name");
            case "getFunctionHandler": return header("function-handler");
            case "getFunctionInitializer": return header("function-initializer");
            case "getExecTimeLimitInMillis": return header("function-timeout") + "000";
            case "getMemoryLimitInMB": return header("function-memory");
            case "getName": return header("service-name");
            case "getLogProject": return header("service-logproject");
            case "getLogStore": return header("service-logstore");
            case "getQualifier": return header("qualifier");
            case "getVersionId": return header("version-id");
            case "getSpanContext": return header("tracing-opentracing-span-context");
            case "getJaegerEndpoint": return header("tracing-jaeger-endpoint");
            case "getRetryCount": return header("retry-count");
            case "getRegion": return header("region");
            case "getAccountId": return header("account-id");
            case "getTaskId": return header("async-task-id");
            case "getIdempotencyKey": return Main.text(headers.get("x-stint-idempotency-key"));
            default: return "";
        }
    }

    private String header(String name) {
        return Main.text(headers.get("x-fc-" + name));
    }

    private static Object plain(String value, Class<?> type) {
        if (type == String.class || type == Object.class || type == CharSequence.class) {
            return value;
        }
        if (type == int.class || type == Integer.class || type == long.class || type == Long.class) {
            long number;
            try {
                number = Long.parseLong(value);
            } catch (NumberFormatException none) {
                number = 0;
            }
            boolean isInt = type == int.class || type == Integer.class;
            return isInt ? (Object) Integer.valueOf((int) number) : (Object) Long.valueOf(number);
        }
        return type == boolean.class ? Boolean.FALSE : null;
    }

    /** {@code {time} {request id} [LEVEL] message}, as upstream's logger writes it. */
    private void log(String level, String message) {
        if (LEVELS.get(level) < LEVEL_LEAST) {
            return;
        }
        SimpleDateFormat format = new SimpleDateFormat("yyyy-MM-dd HH:mm:ss.SSS", Locale.ROOT);
        format.setTimeZone(TimeZone.getTimeZone("UTC"));
        String stamp = format.format(new Date());
        String line = stamp + " " + header("request-id") + " [" + level.toUpperCase(Locale.ROOT) + "] " + message;
        System.out.println(line);
    }
}
