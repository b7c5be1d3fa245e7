package stint.runtime;

import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.lang.reflect.WildcardType;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Between JSON values and the user's types: beans by setters and fields (what the text has on top is
 * ignored), collections, maps, arrays, enums and numbers.
 */
final class Bind {
    private Bind() {
    }

    static Object to(Object value, Type wanted) {
        if (wanted instanceof ParameterizedType) {
            ParameterizedType generic = (ParameterizedType) wanted;
            return of(value, (Class<?>) generic.getRawType(), generic.getActualTypeArguments());
        }
        if (wanted instanceof Class) {
            return of(value, (Class<?>) wanted, new Type[0]);
        }
        if (wanted instanceof WildcardType) {
            return to(value, ((WildcardType) wanted).getUpperBounds()[0]);
        }
        if (wanted instanceof GenericArrayType) {
            return to(value, Object[].class);
        }
        // A type variable: nothing more is known.
        return value;
    }

    private static Object of(Object value, Class<?> type, Type[] arguments) {
        if (type.isPrimitive()) {
            return primitive(value, type);
        }
        if (value == null || type == Object.class) {
            return value;
        }
        if (type == String.class || type == CharSequence.class) {
            return value instanceof String ? value : Json.write(value);
        }
        if (type == Boolean.class && value instanceof Boolean) {
            return value;
        }
        if (Number.class.isAssignableFrom(type) && value instanceof Number) {
            return number((Number) value, type);
        }
        if (type == Character.class && value instanceof String && ((String) value).length() == 1) {
            return ((String) value).charAt(0);
        }
        if (type.isEnum() && value instanceof String) {
            return constant(type, (String) value);
        }
        if (type.isArray() && value instanceof List) {
            return array((List<?>) value, type.getComponentType());
        }
        if (Collection.class.isAssignableFrom(type) && value instanceof List) {
            return collection((List<?>) value, type, arguments.length > 0 ? arguments[0] : Object.class);
        }
        if (Map.class.isAssignableFrom(type) && value instanceof Map) {
            return map((Map<?, ?>) value, type, arguments.length > 1 ? arguments[1] : Object.class);
        }
        if (value instanceof Map) {
            return bean((Map<?, ?>) value, type);
        }
        throw new IllegalArgumentException("the event does not fit: " + Json.write(value) + " is no " + type.getName());
    }

    private static Object primitive(Object value, Class<?> type) {
        if (type == boolean.class) {
            return Boolean.TRUE.equals(value);
        }
        if (type == char.class) {
            return value instanceof String && ((String) value).length() > 0 ? ((String) value).charAt(0) : '\0';
        }
        Number number = value instanceof Number ? (Number) value : null;
        if (number == null && value != null) {
            throw new IllegalArgumentException("the event does not fit: " + Json.write(value) + " is no number");
        }
        return number(number == null ? Long.valueOf(0) : number, type);
    }

    private static Object number(Number value, Class<?> type) {
        if (type == int.class || type == Integer.class) {
            return value.intValue();
        }
        if (type == long.class || type == Long.class) {
            return value.longValue();
        }
        if (type == double.class || type == Double.class) {
            return value.doubleValue();
        }
        if (type == float.class || type == Float.class) {
            return value.floatValue();
        }
        if (type == short.class || type == Short.class) {
            return value.shortValue();
        }
        if (type == byte.class || type == Byte.class) {
            return value.byteValue();
        }
        if (type == BigInteger.class) {
            return new BigDecimal(value.toString()).toBigInteger();
        }
        return type == BigDecimal.class ? new BigDecimal(value.toString()) : value;
    }

    private static Object constant(Class<?> type, String name) {
        for (Object constant : type.getEnumConstants()) {
            if (((Enum<?>) constant).name().equals(name)) {
                return constant;
            }
        }
        throw new IllegalArgumentException("the event does not fit: " + name + " is no " + type.getName());
    }

    private static Object array(List<?> values, Class<?> item) {
        Object array = Array.newInstance(item, values.size());
        for (int n = 0; n < values.size(); n++) {
            Array.set(array, n, to(values.get(n), item));
        }
        return array;
    }

    private static Object collection(List<?> values, Class<?> type, Type item) {
        Collection<Object> made = Set.class.isAssignableFrom(type)
            ? new LinkedHashSet<Object>() : new ArrayList<Object>();
        if (!type.isInterface() && !type.isInstance(made)) {
            made = cast(make(type));
        }
        for (Object value : values) {
            made.add(to(value, item));
        }
        return made;
    }

    private static Object map(Map<?, ?> values, Class<?> type, Type item) {
        Map<Object, Object> made = new LinkedHashMap<Object, Object>();
        if (!type.isInterface() && !type.isInstance(made)) {
            made = cast(make(type));
        }
        for (Map.Entry<?, ?> field : values.entrySet()) {
            made.put(field.getKey(), to(field.getValue(), item));
        }
        return made;
    }

    @SuppressWarnings("unchecked")
    private static <T> T cast(Object made) {
        return (T) made;
    }

    private static Object make(Class<?> type) {
        try {
            Constructor<?> constructor = type.getDeclaredConstructor();
            constructor.setAccessible(true);
            return constructor.newInstance();
        } catch (ReflectiveOperationException error) {
            throw new IllegalArgumentException(type.getName() + " needs a constructor without arguments", error);
        }
    }

    private static Object bean(Map<?, ?> values, Class<?> type) {
        Object bean = make(type);
        try {
            for (Method method : type.getMethods()) {
                String name = property(method.getName(), "set");
                if (name != null && method.getParameterTypes().length == 1 && values.containsKey(name)
                        && !Modifier.isStatic(method.getModifiers())) {
                    method.setAccessible(true);
                    method.invoke(bean, to(values.get(name), method.getGenericParameterTypes()[0]));
                }
            }
            for (Field field : type.getFields()) {
                int kind = field.getModifiers();
                if (!Modifier.isStatic(kind) && !Modifier.isFinal(kind) && values.containsKey(field.getName())) {
                    field.set(bean, to(values.get(field.getName()), field.getGenericType()));
                }
            }
        } catch (ReflectiveOperationException error) {
            throw new IllegalArgumentException("the event cannot be set on " + type.getName(), error);
        }
        return bean;
    }

    /** What a bean holds, by its getters and public fields. */
    static Map<String, Object> fields(Object bean) {
        Map<String, Object> fields = new java.util.TreeMap<String, Object>();
        try {
            for (Field field : bean.getClass().getFields()) {
                if (!Modifier.isStatic(field.getModifiers())) {
                    field.setAccessible(true);
                    fields.put(field.getName(), field.get(bean));
                }
            }
            for (Method method : bean.getClass().getMethods()) {
                String name = property(method.getName(), "get");
                boolean isFlag = method.getReturnType() == boolean.class;
                name = name == null && isFlag ? property(method.getName(), "is") : name;
                if (name != null && method.getParameterTypes().length == 0 && method.getDeclaringClass() != Object.class
                        && !Modifier.isStatic(method.getModifiers())) {
                    method.setAccessible(true);
                    fields.put(name, method.invoke(bean));
                }
            }
        } catch (ReflectiveOperationException error) {
            throw new IllegalArgumentException("the result cannot be read from " + bean.getClass().getName(), error);
        }
        return fields;
    }

    private static String property(String method, String prefix) {
        if (!method.startsWith(prefix) || method.length() == prefix.length()) {
            return null;
        }
        char first = method.charAt(prefix.length());
        return Character.isUpperCase(first)
            ? Character.toLowerCase(first) + method.substring(prefix.length() + 1) : null;
    }
}
