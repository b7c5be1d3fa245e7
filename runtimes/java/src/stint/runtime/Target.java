package stint.runtime;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;

/**
 * A method of the user's, named {@code pkg.Class::method}, and how to call it. Told by its parameters, so
 * that no interface has to be implemented:
 *
 * <pre>
 * void   method(InputStream, OutputStream [, Context])   StreamRequestHandler
 * O      method(I [, Context])                           PojoRequestHandler: JSON in and out
 * void   method(Context)                                 hooks
 * </pre>
 *
 * A context is whatever interface the method asks for.
 */
final class Target {
    private final Object self;
    private final Method method;

    private Target(Object self, Method method) {
        this.self = self;
        this.method = method;
    }

    static Target find(ClassLoader loader, String spec) throws Throwable {
        int at = spec.indexOf("::");
        if (at <= 0 || at + 2 >= spec.length()) {
            throw new HandlerNotFound("Bad handler '" + spec + "': it must look like package.Class::method");
        }
        String className = spec.substring(0, at);
        String name = spec.substring(at + 2);
        Class<?> type;
        try {
            type = Class.forName(className, true, loader);
        } catch (ClassNotFoundException missing) {
            if (!className.equals(missing.getMessage())) {
                throw missing;
            }
            throw new ImportModuleError("Unable to import module '" + className + "'");
        }
        Method found = null;
        for (Method method : type.getMethods()) {
            // The compiler adds bridges beside generic methods.
            if (method.getName().equals(name) && !method.isBridge() && !method.isSynthetic()) {
                found = method;
                break;
            }
        }
        if (found == null) {
            throw new HandlerNotFound("Handler '" + name + "' is missing on module '" + className + "'");
        }
        found.setAccessible(true);
        Object self = Instances.of(type, Modifier.isStatic(found.getModifiers()));
        return new Target(self, found);
    }

    /** Runs it with an event. */
    byte[] handle(byte[] event) throws Throwable {
        Class<?>[] types = method.getParameterTypes();
        boolean streams = types.length >= 2 && types[0] == InputStream.class && types[1] == OutputStream.class;
        if (streams) {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            Object[] arguments = new Object[types.length];
            arguments[0] = new ByteArrayInputStream(event);
            arguments[1] = out;
            contexts(arguments, types, 2);
            call(arguments);
            return out.toByteArray();
        }
        Object[] arguments = new Object[types.length];
        int from = 0;
        if (types.length > 0 && (types.length > 1 || !Context.is(types[0]))) {
            Type wanted = method.getGenericParameterTypes()[0];
            arguments[0] = argument(event, wanted);
            from = 1;
        }
        contexts(arguments, types, from);
        return result(call(arguments));
    }

    /** Runs it as a hook. */
    void hook() throws Throwable {
        Class<?>[] types = method.getParameterTypes();
        Object[] arguments = new Object[types.length];
        contexts(arguments, types, 0);
        call(arguments);
    }

    private static void contexts(Object[] arguments, Class<?>[] types, int from) {
        for (int n = from; n < types.length; n++) {
            arguments[n] = Context.as(types[n]);
        }
    }

    private Object call(Object[] arguments) throws Throwable {
        try {
            return method.invoke(self, arguments);
        } catch (InvocationTargetException error) {
            throw error.getCause();
        }
    }

    private static Object argument(byte[] event, Type wanted) {
        if (wanted == byte[].class) {
            return event;
        }
        if (wanted == InputStream.class) {
            return new ByteArrayInputStream(event);
        }
        String text = new String(event, java.nio.charset.StandardCharsets.UTF_8);
        String trimmed = text.trim();
        // Plain text needs no quotes.
        if (wanted == String.class && !trimmed.startsWith("\"")) {
            return text;
        }
        return Bind.to(trimmed.isEmpty() ? null : Json.parse(trimmed), wanted);
    }

    private static byte[] result(Object value) {
        if (value instanceof byte[]) {
            return (byte[]) value;
        }
        if (value instanceof CharSequence) {
            return Main.utf8(value.toString());
        }
        return Main.utf8(Json.write(value));
    }

    /** The configured handler does not exist. */
    static final class HandlerNotFound extends Exception {
        private static final long serialVersionUID = 1;

        HandlerNotFound(String message) {
            super(message);
        }
    }

    /** Its class does not. */
    static final class ImportModuleError extends Exception {
        private static final long serialVersionUID = 1;

        ImportModuleError(String message) {
            super(message);
        }
    }
}
