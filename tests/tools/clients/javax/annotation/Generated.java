package javax.annotation;

public @interface Generated { // which the generated code has, and no JDK since 11
  String[] value();
  String date();
  String comments();
}
