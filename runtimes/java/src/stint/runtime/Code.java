package stint.runtime;

import java.io.File;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The user's classes: the code directory itself, jars in it and in its {@code lib}, then layers. Our own
 * classes are not visible to them; the interfaces of {@code com.aliyun.fc.runtime} are the user's own when
 * the package brings them, else ours.
 */
final class Code extends URLClassLoader {
    private static final String SHARED = "com.aliyun.fc.runtime.";

    private Code(URL[] places) {
        super(places, ClassLoader.getSystemClassLoader().getParent());
    }

    static ClassLoader loader(String code) throws MalformedURLException {
        List<URL> places = new ArrayList<URL>();
        places.add(new File(code + "/").toURI().toURL());
        for (String dir : new String[] {code, code + "/lib", "/opt", "/opt/java/lib", "/opt/lib"}) {
            File[] found = new File(dir).listFiles();
            if (found == null) {
                continue;
            }
            // Directories come in no order.
            Arrays.sort(found);
            for (File file : found) {
                if (file.getName().endsWith(".jar")) {
                    places.add(file.toURI().toURL());
                }
            }
        }
        return new Code(places.toArray(new URL[0]));
    }

    @Override
    protected Class<?> findClass(String name) throws ClassNotFoundException {
        try {
            return super.findClass(name);
        } catch (ClassNotFoundException missing) {
            if (name.startsWith(SHARED)) {
                return Class.forName(name, false, Code.class.getClassLoader());
            }
            throw missing;
        }
    }
}
