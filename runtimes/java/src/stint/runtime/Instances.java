package stint.runtime;

import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.util.HashMap;
import java.util.Map;

/** One object per class, so that what an initializer sets is there for the handler. */
final class Instances {
    private static final Map<Class<?>, Object> MADE = new HashMap<Class<?>, Object>();

    private Instances() {
    }

    static Object of(Class<?> type, boolean isStatic) throws Throwable {
        if (isStatic) {
            return null;
        }
        Object made = MADE.get(type);
        if (made == null) {
            try {
                Constructor<?> constructor = type.getDeclaredConstructor();
                constructor.setAccessible(true);
                made = constructor.newInstance();
            } catch (InvocationTargetException error) {
                throw error.getCause();
            }
            MADE.put(type, made);
        }
        return made;
    }
}
